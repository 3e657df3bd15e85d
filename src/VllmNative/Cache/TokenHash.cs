using System.Runtime.InteropServices;

namespace VllmNative.Cache;

/// <summary>
/// A number for the tokens of a block, to find them fast; whoever finds something compares the tokens themselves. Not kept
/// between runs: the disk tier has a hash of its own.
/// </summary>
internal static class TokenHash
{
    private const ulong First = 0x9E3779B97F4A7C15;
    private const ulong Second = 0xBF58476D1CE4E5B9;
    private const ulong Third = 0xD6E8FEB86659FD93;

    /// <summary>The hash of a block's tokens.</summary>
    internal static ulong Of(ReadOnlySpan<int> tokens)
    {
        // Two chains, since a multiplication waits for the one before it.
        ulong a = First ^ (ulong)tokens.Length;
        ulong b = Second;
        ReadOnlySpan<ulong> pairs = MemoryMarshal.Cast<int, ulong>(tokens);
        int i = 0;
        for (; i + 1 < pairs.Length; i += 2)
        {
            a = Mix(a ^ pairs[i], First);
            b = Mix(b ^ pairs[i + 1], Second);
        }

        if (i < pairs.Length)
        {
            a = Mix(a ^ pairs[i], First);
        }

        if ((tokens.Length & 1) != 0)
        {
            b = Mix(b ^ (uint)tokens[^1], Second);
        }

        return Mix(a ^ Third, b);
    }

    /// <summary>The hash of a block behind a certain other one.</summary>
    internal static ulong Behind(long parent, ulong tokens) => Mix(tokens ^ First, (ulong)parent ^ Second);

    private static ulong Mix(ulong x, ulong y)
    {
        ulong high = Math.BigMul(x, y, out ulong low);
        return high ^ low;
    }
}
