using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>
/// Fills device memory with bf16 values in (-1, 1), the same few megabytes over and over. Zeros would not do: a GPU computes
/// with them at less power, and so faster than with any model.
/// </summary>
internal sealed unsafe class RandomSource : IDisposable
{
    private const int Count = 4 << 20;

    private readonly Device _device;
    private readonly DeviceBuffer _pattern;

    internal RandomSource(Device device)
    {
        _device = device;
        _pattern = device.AllocateHost(sizeof(ushort) * (long)Count);
        var values = new Span<ushort>((void*)_pattern.Data, Count);
        var random = new Random(1);
        for (int i = 0; i < values.Length; i++)
        {
            // The upper half of a float is a bfloat16.
            values[i] = (ushort)(BitConverter.SingleToUInt32Bits((2 * random.NextSingle()) - 1) >> 16);
        }
    }

    /// <summary>Returns when the memory is filled.</summary>
    internal void Fill(nint destination, long bytes)
    {
        for (long at = 0; at < bytes; at += _pattern.Bytes)
        {
            _device.CopyToDevice(destination + (nint)at, _pattern.Data, Math.Min(_pattern.Bytes, bytes - at));
        }

        _device.Synchronize();
    }

    public void Dispose() => _pattern.Dispose();
}
