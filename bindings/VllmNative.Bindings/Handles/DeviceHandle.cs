namespace VllmNative.Bindings;

/// <summary>A vn_device: one logical worker.</summary>
internal sealed class DeviceHandle : NativeHandle
{
    /// <summary>Creates a device with default options.</summary>
    public static DeviceHandle Create(int kind, int ordinal) => Create(kind, ordinal, new DeviceOptions());

    /// <summary>Creates a device.</summary>
    public static unsafe DeviceHandle Create(int kind, int ordinal, DeviceOptions options)
    {
        int status = NativeMethods.vn_device_create(kind, ordinal, &options, out DeviceHandle device);
        return Created(status, device);
    }

    /// <summary>What the device is and has free now.</summary>
    public unsafe DeviceInfo GetInfo()
    {
        var info = new DeviceInfo();
        Status.Check(NativeMethods.vn_device_get_info(this, &info));
        return info;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_device_destroy(handle);
        return true;
    }
}
