using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace VllmNative.Recording;

/// <summary>
/// Numbers that stand for token blocks, users and salts within one trace. They are keyed with a secret that is kept nowhere, so
/// that nobody who holds a trace can try out which prompt a hash belongs to.
/// </summary>
internal sealed class Pseudonyms
{
    // Readers of JSON often keep numbers as doubles.
    private const ulong ExactInDouble = (1UL << 53) - 1;

    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);

    /// <summary>A number for the tokens of a block.</summary>
    internal ulong OfBlock(ReadOnlySpan<int> tokens) => Of(MemoryMarshal.AsBytes(tokens));

    /// <summary>A number for a name, exact in a double.</summary>
    internal ulong OfName(string name) => Of(MemoryMarshal.AsBytes(name.AsSpan())) & ExactInDouble;

    private ulong Of(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_key, bytes, hash);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash);
    }
}
