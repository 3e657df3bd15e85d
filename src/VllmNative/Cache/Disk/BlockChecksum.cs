using System.Numerics;
using System.Runtime.InteropServices;

namespace VllmNative.Cache.Disk;

/// <summary>
/// 128 bits over a block's payload: CRC-32C of four interleaved streams of 8-byte words. One stream would wait for each
/// instruction's result; four keep the unit busy, and the disk stays the slower one.
/// </summary>
internal static class BlockChecksum
{
    internal const int Size = 4 * sizeof(uint);

    private const uint Start = uint.MaxValue;

    internal static void Compute(ReadOnlySpan<byte> payload, Span<byte> checksum)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(payload);
        uint a = Start;
        uint b = Start;
        uint c = Start;
        uint d = Start;
        int i = 0;
        for (; i + 3 < words.Length; i += 4)
        {
            a = BitOperations.Crc32C(a, words[i]);
            b = BitOperations.Crc32C(b, words[i + 1]);
            c = BitOperations.Crc32C(c, words[i + 2]);
            d = BitOperations.Crc32C(d, words[i + 3]);
        }

        foreach (byte rest in payload[(i * sizeof(ulong))..])
        {
            a = BitOperations.Crc32C(a, rest);
        }

        MemoryMarshal.AsBytes<uint>([a, b, c, d]).CopyTo(checksum);
    }
}
