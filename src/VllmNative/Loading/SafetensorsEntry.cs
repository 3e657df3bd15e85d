namespace VllmNative.Loading;

/// <summary>One tensor of a header: type, shape and the bytes [Begin, End) counted from the start of the data.</summary>
internal readonly record struct SafetensorsEntry(string Name, SafetensorsDtype Dtype, long[] Shape, long Begin, long End)
{
    /// <summary>Size in bytes.</summary>
    public long ByteLength => End - Begin;
}
