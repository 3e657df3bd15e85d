namespace VllmNative.Bindings;

/// <summary>A vn_buffer: zeroed memory that a device can use.</summary>
internal sealed class BufferHandle : NativeHandle
{
    /// <summary>Creates a buffer in device memory or in host memory that the device copies at full speed.</summary>
    public static BufferHandle Create(DeviceHandle device, int memory, long bytes)
    {
        int status = NativeMethods.vn_buffer_create(device, memory, bytes, out BufferHandle buffer);
        return Created(status, buffer);
    }

    /// <summary>The buffer's first byte; the buffer must outlive every use of it.</summary>
    public nint GetData()
    {
        Status.Check(NativeMethods.vn_buffer_data(this, out nint data));
        return data;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_buffer_destroy(handle);
        return true;
    }
}
