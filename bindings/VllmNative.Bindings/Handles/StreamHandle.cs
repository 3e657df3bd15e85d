namespace VllmNative.Bindings;

/// <summary>A vn_stream: a queue of work on a device.</summary>
internal sealed class StreamHandle : NativeHandle
{
    /// <summary>Creates a stream, or wraps the application's own (a CUstream).</summary>
    public static StreamHandle Create(DeviceHandle device, int kind, nint foreign = 0)
    {
        int status = NativeMethods.vn_stream_create(device, kind, foreign, out StreamHandle stream);
        return Created(status, stream);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_stream_destroy(handle);
        return true;
    }
}
