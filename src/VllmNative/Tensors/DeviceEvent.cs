using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>
/// A point in a stream's work: others wait for it, ask whether it has happened, or measure the time between two. One that was
/// never recorded has happened.
/// </summary>
internal sealed class DeviceEvent(Device device) : IDisposable
{
    private readonly EventHandle _handle = EventHandle.Create(device.Handle);

    internal EventHandle Handle => _handle;

    /// <summary>Marks the end of what the compute stream was asked to do so far.</summary>
    internal void Record() => Status.Check(NativeMethods.vn_event_record(_handle, device.Stream));

    /// <summary>Whether it has happened; does not wait. Any thread may ask.</summary>
    /// <exception cref="NativeException">DeviceLost: it never will.</exception>
    internal bool HasHappened
    {
        get
        {
            Status.Check(NativeMethods.vn_event_query(_handle, out int happened));
            return happened != 0;
        }
    }

    /// <summary>Blocks this thread until the event has happened.</summary>
    internal void Synchronize() => Status.Check(NativeMethods.vn_event_synchronize(_handle));

    /// <summary>Milliseconds from this event to a later one; both have happened.</summary>
    internal float MillisecondsUntil(DeviceEvent end)
    {
        Status.Check(NativeMethods.vn_event_elapsed(_handle, end._handle, out float milliseconds));
        return milliseconds;
    }

    public void Dispose() => _handle.Dispose();
}
