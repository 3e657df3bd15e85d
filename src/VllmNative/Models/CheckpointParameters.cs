using System.Runtime.InteropServices;
using VllmNative.Diagnostics;
using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>
/// Parameters of a checkpoint: each tensor is converted straight from the memory map into the device's layout, and its pages
/// are let go, so that the model is never in host memory twice.
/// </summary>
internal sealed class CheckpointParameters(Device device, DataType type, WeightMap weights, IProgress<LoadProgress>? progress) : IParameterSource
{
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);
    private long _loaded;

    public Weight Matrix(bool lookup, int columns, ReadOnlySpan<ParameterPart> parts)
    {
        long rows = 0;
        foreach (ParameterPart part in parts)
        {
            rows += part.Rows;
        }

        Weight weight = device.CreateWeight(lookup, type, rows, columns);
        long row = 0;
        foreach (ParameterPart part in parts)
        {
            TensorView tensor = Find(part.Name, [part.Rows, columns]);
            Use(tensor, (source, sourceType) => weight.Load(row, part.Rows, source, sourceType));
            row += part.Rows;
        }

        return weight;
    }

    public Parameter Vector(ReadOnlySpan<ParameterPart> parts)
    {
        int length = 0;
        foreach (ParameterPart part in parts)
        {
            length += part.Rows;
        }

        Parameter parameter = Parameter.Create(device, length);
        int offset = 0;
        foreach (ParameterPart part in parts)
        {
            TensorView tensor = Find(part.Name, [part.Rows]);
            Use(tensor, (source, sourceType) => Device.Load(parameter.Buffer, offset, DataType.Float32, source, sourceType, part.Rows));
            offset += part.Rows;
        }

        return parameter;
    }

    /// <summary>A tensor that the model did not ask for means that the model is not what its config says.</summary>
    /// <exception cref="ModelFormatException">Names the first such tensor.</exception>
    internal void RequireAllUsed(bool tiedHead)
    {
        foreach (string name in weights.Names)
        {
            // Old checkpoints carry tables that are computed here, tied ones may carry the head a second time, and scales of an
            // fp8 cache are not the model's.
            bool known = _used.Contains(name) || name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal)
                || (tiedHead && name == DecoderNames.Head) || KvScaleReader.IsScale(name);
            if (!known)
            {
                throw new ModelFormatException(weights.Get(name).File.Path, name, "the architecture has no such tensor");
            }
        }
    }

    private TensorView Find(string name, ReadOnlySpan<long> shape)
    {
        TensorView tensor = weights.Get(name);
        if (!tensor.Shape.AsSpan().SequenceEqual(shape))
        {
            throw new ModelFormatException(tensor.File.Path, name, $"has shape [{string.Join(", ", tensor.Shape)}], expected [{string.Join(", ", shape.ToArray())}]");
        }

        _used.Add(name);
        return tensor;
    }

    private unsafe void Use(TensorView tensor, Action<nint, DataType> load)
    {
        DataType sourceType = tensor.Dtype switch
        {
            SafetensorsDtype.F32 => DataType.Float32,
            SafetensorsDtype.F16 => DataType.Float16,
            SafetensorsDtype.BF16 => DataType.BFloat16,
            _ => throw new ModelFormatException(tensor.File.Path, tensor.Name, $"has dtype {tensor.Dtype}, expected F32, F16 or BF16"),
        };
        nint data = (nint)tensor.Data;
        if (data % sourceType.Size() == 0)
        {
            load(data, sourceType);
        }
        else
        {
            // The format promises no alignment; the native side does. Rare enough to copy.
            void* aligned = NativeMemory.AlignedAlloc((nuint)tensor.ByteLength, 64);
            try
            {
                Buffer.MemoryCopy((void*)data, aligned, tensor.ByteLength, tensor.ByteLength);
                load((nint)aligned, sourceType);
            }
            finally
            {
                NativeMemory.AlignedFree(aligned);
            }
        }

        SafetensorsFile.Release(tensor);
        _loaded += tensor.ByteLength;
        progress?.Report(new LoadProgress(_loaded, weights.TotalBytes));
    }
}
