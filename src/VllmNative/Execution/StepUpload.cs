using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// What the host tells the device about a step, in one copy: the arrays stand one behind the other, each as long as the step
/// needs. Each slot has host memory of its own, because the copy of one step may still read while the host writes the next.
/// The device has one region: on the stream the next copy comes after the last reader.
/// </summary>
internal sealed unsafe class StepUpload : IDisposable
{
    private const int Alignment = 64;

    private readonly Device _device;
    private readonly DeviceBuffer _memory;
    private readonly DeviceBuffer[] _host;
    private int _slot;
    private long _used;

    /// <param name="device">Where to.</param>
    /// <param name="slots">Steps in flight.</param>
    /// <param name="words">Largest lengths of the arrays of a step, in 32-bit words.</param>
    internal StepUpload(Device device, int slots, params ReadOnlySpan<long> words)
    {
        _device = device;
        long bytes = 0;
        foreach (long length in words)
        {
            bytes += Padded(length);
        }

        _memory = device.Allocate(bytes);
        _host = new DeviceBuffer[slots];
        for (int i = 0; i < slots; i++)
        {
            _host[i] = device.AllocateHost(bytes);
        }
    }

    /// <summary>Bytes of device memory.</summary>
    internal long Bytes => _memory.Bytes;

    /// <summary>Where the first array of every step lies; recorded graphs read it there.</summary>
    internal nint First => _memory.Data;

    internal void Begin(int slot) => (_slot, _used) = (slot, 0);

    /// <summary>The next array: written through the span, found by the device at <paramref name="data"/> after <see cref="Send"/>.</summary>
    internal Span<int> Reserve(int words, out nint data)
    {
        data = _memory.Data + (nint)_used;
        var span = new Span<int>((void*)(_host[_slot].Data + (nint)_used), words);
        _used += Padded(words);
        if (_used > _memory.Bytes)
        {
            throw new InvalidOperationException($"a step's upload needs {_used} bytes, {_memory.Bytes} were planned");
        }

        return span;
    }

    internal void Send() => _device.CopyToDevice(_memory.Data, _host[_slot].Data, _used);

    public void Dispose()
    {
        foreach (DeviceBuffer host in _host)
        {
            host.Dispose();
        }

        _memory.Dispose();
    }

    private static long Padded(long words) => ((words * sizeof(int)) + Alignment - 1) / Alignment * Alignment;
}
