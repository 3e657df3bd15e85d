using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>Element types of device tensors; the numbers are the C ABI's.</summary>
internal enum DataType
{
    Float32 = NativeConstants.DtypeF32,
    Float16 = NativeConstants.DtypeF16,
    BFloat16 = NativeConstants.DtypeBF16,
    Float8E4M3 = NativeConstants.DtypeF8E4M3,
    Int32 = NativeConstants.DtypeI32,
    Int64 = NativeConstants.DtypeI64,
}

internal static class DataTypes
{
    /// <summary>Bytes of one element.</summary>
    internal static int Size(this DataType type) => type switch
    {
        DataType.Float8E4M3 => 1,
        DataType.Float16 or DataType.BFloat16 => 2,
        DataType.Int64 => 8,
        _ => 4,
    };
}
