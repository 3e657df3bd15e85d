namespace VllmNative.Loading;

/// <summary>Names and sizes of the element types.</summary>
internal static class SafetensorsDtypes
{
    /// <summary>The type that the header calls <paramref name="name"/>; names are case-sensitive.</summary>
    public static bool TryParse(string name, out SafetensorsDtype dtype)
    {
        // Enum.TryParse would also take numbers and comma lists.
        SafetensorsDtype? found = name switch
        {
            "BOOL" => SafetensorsDtype.BOOL,
            "F4" => SafetensorsDtype.F4,
            "F6_E2M3" => SafetensorsDtype.F6_E2M3,
            "F6_E3M2" => SafetensorsDtype.F6_E3M2,
            "U8" => SafetensorsDtype.U8,
            "I8" => SafetensorsDtype.I8,
            "F8_E5M2" => SafetensorsDtype.F8_E5M2,
            "F8_E4M3" => SafetensorsDtype.F8_E4M3,
            "F8_E8M0" => SafetensorsDtype.F8_E8M0,
            "I16" => SafetensorsDtype.I16,
            "U16" => SafetensorsDtype.U16,
            "F16" => SafetensorsDtype.F16,
            "BF16" => SafetensorsDtype.BF16,
            "I32" => SafetensorsDtype.I32,
            "U32" => SafetensorsDtype.U32,
            "F32" => SafetensorsDtype.F32,
            "C64" => SafetensorsDtype.C64,
            "I64" => SafetensorsDtype.I64,
            "U64" => SafetensorsDtype.U64,
            "F64" => SafetensorsDtype.F64,
            _ => null,
        };
        dtype = found.GetValueOrDefault();
        return found.HasValue;
    }

    /// <summary>Bits of one element; the 4- and 6-bit types are packed.</summary>
    public static int Bits(this SafetensorsDtype dtype) => dtype switch
    {
        SafetensorsDtype.F4 => 4,
        SafetensorsDtype.F6_E2M3 or SafetensorsDtype.F6_E3M2 => 6,
        <= SafetensorsDtype.F8_E8M0 => 8,
        <= SafetensorsDtype.BF16 => 16,
        <= SafetensorsDtype.F32 => 32,
        _ => 64,
    };
}
