namespace VllmNative.Loading;

/// <summary>Element type of a tensor in a safetensors file; the names are those of the format.</summary>
internal enum SafetensorsDtype : byte
{
    /// <summary>Truth value, one byte each.</summary>
    BOOL,

    /// <summary>4-bit float (MXFP4), two per byte.</summary>
    F4,

    /// <summary>6-bit float, 2 exponent bits.</summary>
    F6_E2M3,

    /// <summary>6-bit float, 3 exponent bits.</summary>
    F6_E3M2,

    /// <summary>Unsigned byte.</summary>
    U8,

    /// <summary>Signed byte.</summary>
    I8,

    /// <summary>8-bit float, 5 exponent bits.</summary>
    F8_E5M2,

    /// <summary>8-bit float, 4 exponent bits, no infinities.</summary>
    F8_E4M3,

    /// <summary>8-bit power of two, the scale type of the MX formats.</summary>
    F8_E8M0,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE half.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE single.</summary>
    F32,

    /// <summary>Complex of two singles.</summary>
    C64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,

    /// <summary>IEEE double.</summary>
    F64,
}
