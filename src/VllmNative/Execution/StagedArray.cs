using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>A device array with its image in host memory: one side writes it each step, and it is copied to the other.</summary>
internal sealed unsafe class StagedArray<T> : IDisposable
    where T : unmanaged
{
    private readonly Device _device;
    private DeviceBuffer _host;
    private DeviceBuffer _memory;

    internal StagedArray(Device device, int capacity)
    {
        _device = device;
        Capacity = Math.Max(capacity, 1);
        _host = device.AllocateHost((long)Capacity * sizeof(T));
        _memory = device.Allocate((long)Capacity * sizeof(T));
    }

    internal int Capacity { get; private set; }

    internal nint Data => _memory.Data;

    internal Span<T> Host => new((void*)_host.Data, Capacity);

    /// <summary>Makes room for more entries than planned; what was in it is lost.</summary>
    internal void EnsureCapacity(int count)
    {
        if (count <= Capacity)
        {
            return;
        }

        Dispose();
        Capacity = Math.Max(count, Capacity * 2);
        _host = _device.AllocateHost((long)Capacity * sizeof(T));
        _memory = _device.Allocate((long)Capacity * sizeof(T));
    }

    /// <summary>Copies the first entries to the device.</summary>
    internal void Upload(int count)
    {
        if (count > 0)
        {
            _device.CopyToDevice(_memory.Data, _host.Data, (long)count * sizeof(T));
        }
    }

    /// <summary>Copies the first entries to the host.</summary>
    internal void Download(int count)
    {
        if (count > 0)
        {
            _device.CopyToHost(_host.Data, _memory.Data, (long)count * sizeof(T));
        }
    }

    public void Dispose()
    {
        _host.Dispose();
        _memory.Dispose();
    }
}
