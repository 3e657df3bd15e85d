using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>Work of the compute stream that was recorded once and is launched as a whole. Pointers and shapes are fixed in it.</summary>
internal sealed class DeviceGraph : IDisposable
{
    private readonly Device _device;
    private readonly GraphHandle _handle;

    private DeviceGraph(Device device, GraphHandle handle)
    {
        _device = device;
        _handle = handle;
    }

    /// <summary>Records what <paramref name="work"/> asks of the device, without doing it. The work must not allocate.</summary>
    internal static DeviceGraph Record(Device device, Action work)
    {
        Status.Check(NativeMethods.vn_graph_begin(device.Stream));
        try
        {
            work();
        }
        catch
        {
            // The stream must not stay in recording; what was recorded is of no use.
            NativeMethods.vn_graph_end(device.Stream, out GraphHandle broken);
            broken?.Dispose();
            throw;
        }

        return new DeviceGraph(device, GraphHandle.End(device.Stream));
    }

    internal void Launch() => Status.Check(NativeMethods.vn_graph_launch(_handle, _device.Stream));

    public void Dispose() => _handle.Dispose();
}
