using System.Buffers.Binary;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>
/// Scales of an fp8 KV cache that some checkpoints bring, one scalar for a layer's K and one for its V, or one for both. A
/// checkpoint without them has scales of 1.
/// </summary>
internal static class KvScaleReader
{
    // The first that is there counts: what a quantizer named for the cache, then its projections' outputs, then one for both.
    private static readonly string[] KeyNames = ["self_attn.k_scale", "self_attn.attn.k_scale", "self_attn.k_proj.output_scale", "self_attn.kv_scale"];
    private static readonly string[] ValueNames = ["self_attn.v_scale", "self_attn.attn.v_scale", "self_attn.v_proj.output_scale", "self_attn.kv_scale"];

    /// <exception cref="ModelFormatException">A scale is no scalar, or not finite, or not above 0.</exception>
    internal static KvScales[] Read(WeightMap weights, int layers)
    {
        var scales = new KvScales[layers];
        for (int layer = 0; layer < layers; layer++)
        {
            scales[layer] = new KvScales(First(weights, layer, KeyNames), First(weights, layer, ValueNames));
        }

        return scales;
    }

    /// <summary>Whether a tensor of this name is such a scale: a model whose cache is not fp8 has no use for it.</summary>
    internal static bool IsScale(string name)
    {
        int attention = name.IndexOf("self_attn.", StringComparison.Ordinal);
        return attention >= 0 && (KeyNames.Contains(name[attention..]) || ValueNames.Contains(name[attention..]));
    }

    private static float First(WeightMap weights, int layer, string[] names)
    {
        foreach (string name in names)
        {
            if (weights.TryGet(DecoderNames.Layer(layer, name), out TensorView tensor))
            {
                return Scalar(tensor);
            }
        }

        return 1;
    }

    private static float Scalar(in TensorView tensor)
    {
        if (tensor.ByteLength * 8 != tensor.Dtype.Bits())
        {
            throw new ModelFormatException(tensor.File.Path, tensor.Name, $"has shape [{string.Join(", ", tensor.Shape)}], expected one element");
        }

        float scale = tensor.Dtype switch
        {
            SafetensorsDtype.F32 => BinaryPrimitives.ReadSingleLittleEndian(tensor.Bytes),
            SafetensorsDtype.F16 => (float)BinaryPrimitives.ReadHalfLittleEndian(tensor.Bytes),
            SafetensorsDtype.BF16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadInt16LittleEndian(tensor.Bytes) << 16),
            _ => throw new ModelFormatException(tensor.File.Path, tensor.Name, $"has dtype {tensor.Dtype}, expected F32, F16 or BF16"),
        };
        return float.IsFinite(scale) && scale > 0
            ? scale
            : throw new ModelFormatException(tensor.File.Path, tensor.Name, FormattableString.Invariant($"is {scale}, expected a finite scale above 0"));
    }
}
