namespace VllmNative.Bindings;

/// <summary>A vn_event: a point in a stream that others can wait for.</summary>
internal sealed class EventHandle : NativeHandle
{
    /// <summary>Creates an event.</summary>
    public static EventHandle Create(DeviceHandle device)
    {
        int status = NativeMethods.vn_event_create(device, out EventHandle @event);
        return Created(status, @event);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_event_destroy(handle);
        return true;
    }
}
