using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>A matrix [rows, columns] in the device's own layout.</summary>
internal sealed class Weight(WeightHandle handle, DataType type, long rows, long columns) : IDisposable
{
    internal DataType Type => type;

    internal long Rows => rows;

    internal long Columns => columns;

    internal WeightHandle Handle => handle;

    /// <summary>The pointer for params structs; this object must outlive the call.</summary>
    internal nint Pointer => handle.DangerousGetHandle();

    internal long Bytes
    {
        get
        {
            Status.Check(NativeMethods.vn_weight_bytes(handle, out long bytes));
            return bytes;
        }
    }

    /// <summary>Converts a dense host matrix into rows [firstRow, firstRow + count).</summary>
    internal void Load(long firstRow, long count, nint source, DataType sourceType) =>
        Status.Check(NativeMethods.vn_weight_load(handle, firstRow, count, columns, source, (int)sourceType, columns));

    /// <summary>Fills with random values in (-scale, scale).</summary>
    internal void Fill(ulong seed, float scale) => Status.Check(NativeMethods.vn_weight_fill(handle, seed, scale));

    public void Dispose() => handle.Dispose();
}
