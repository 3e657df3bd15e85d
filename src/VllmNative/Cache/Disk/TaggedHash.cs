using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace VllmNative.Cache.Disk;

/// <summary>SHA-256 over fields. Each is preceded by its tag and length, so that no two different sets of fields give the same bytes.</summary>
internal sealed class TaggedHash : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    internal void Add(byte tag, ReadOnlySpan<byte> value)
    {
        Span<byte> prefix = stackalloc byte[1 + sizeof(int)];
        prefix[0] = tag;
        BinaryPrimitives.WriteInt32LittleEndian(prefix[1..], value.Length);
        _hash.AppendData(prefix);
        _hash.AppendData(value);
    }

    // UTF-16 as it is: UTF-8 would make one character of every broken surrogate, and so one key of different texts.
    internal void Add(byte tag, string value) => Add(tag, MemoryMarshal.AsBytes(value.AsSpan()));

    internal void Add(byte tag, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        Add(tag, bytes);
    }

    internal BlockHash Finish()
    {
        Span<byte> digest = stackalloc byte[BlockHash.Size];
        _hash.GetHashAndReset(digest);
        return new BlockHash(digest);
    }

    public void Dispose() => _hash.Dispose();
}
