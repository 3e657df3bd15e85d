namespace VllmNative.Bindings;

/// <summary>A vn_weight: a matrix in the device's own layout.</summary>
internal sealed class WeightHandle : NativeHandle
{
    /// <summary>Creates a weight of zeros; vn_weight_load fills its rows.</summary>
    public static WeightHandle Create(DeviceHandle device, int use, int dtype, long rows, long columns)
    {
        int status = NativeMethods.vn_weight_create(device, use, dtype, rows, columns, out WeightHandle weight);
        return Created(status, weight);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_weight_destroy(handle);
        return true;
    }
}
