using System.Buffers;
using System.Runtime.InteropServices;

namespace VllmNative.Cache.Disk;

/// <summary>SHA-256 of a path of tokens up to and including one block: the block's name wherever it lies, in any process.</summary>
internal readonly struct BlockHash : IEquatable<BlockHash>, IComparable<BlockHash>
{
    /// <summary>Bytes of a hash.</summary>
    internal const int Size = 32;

    /// <summary>Characters of a hash in hexadecimal.</summary>
    internal const int HexLength = 2 * Size;

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdef");

    private readonly ulong _a;
    private readonly ulong _b;
    private readonly ulong _c;
    private readonly ulong _d;

    /// <param name="bytes">Exactly <see cref="Size"/> bytes.</param>
    internal BlockHash(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(bytes.Length, Size);
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        (_a, _b, _c, _d) = (words[0], words[1], words[2], words[3]);
    }

    public static bool operator ==(BlockHash left, BlockHash right) => left.Equals(right);

    public static bool operator !=(BlockHash left, BlockHash right) => !left.Equals(right);

    /// <summary>Reads 64 lower-case hexadecimal digits; false for anything else.</summary>
    internal static bool TryParse(ReadOnlySpan<char> hex, out BlockHash hash)
    {
        Span<byte> bytes = stackalloc byte[Size];
        if (hex.Length != HexLength || hex.ContainsAnyExcept(HexDigits))
        {
            hash = default;
            return false;
        }

        Convert.FromHexString(hex, bytes, out _, out _);
        hash = new BlockHash(bytes);
        return true;
    }

    /// <summary>Whether a text consists of lower-case hexadecimal digits.</summary>
    internal static bool IsHex(ReadOnlySpan<char> text) => !text.ContainsAnyExcept(HexDigits);

    internal void CopyTo(Span<byte> destination) =>
        MemoryMarshal.AsBytes<ulong>([_a, _b, _c, _d]).CopyTo(destination);

    public bool Equals(BlockHash other) => _a == other._a && _b == other._b && _c == other._c && _d == other._d;

    public override bool Equals(object? obj) => obj is BlockHash other && Equals(other);

    // The bytes are a digest: any part of them is as well spread as a hash of them.
    public override int GetHashCode() => (int)_a;

    public int CompareTo(BlockHash other)
    {
        int order = _a.CompareTo(other._a);
        order = order != 0 ? order : _b.CompareTo(other._b);
        order = order != 0 ? order : _c.CompareTo(other._c);
        return order != 0 ? order : _d.CompareTo(other._d);
    }

    /// <summary>64 lower-case hexadecimal digits.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Size];
        CopyTo(bytes);
        return Convert.ToHexStringLower(bytes);
    }
}
