using System.Runtime.InteropServices;
using VllmNative.Cache.Disk;

namespace VllmNative.Tests.Execution;

/// <summary>The fake device's host memory: as the device's own, a block's K/V are the tokens that it stands for, so that the disk's bytes are read back like all others.</summary>
internal sealed class FakeHostBlocks(int count, int blockSize) : IHostBlocks
{
    private readonly int[] _kv = new int[count * blockSize];

    internal int BlockBytes => blockSize * sizeof(int);

    internal Span<int> TokensOf(int block) => _kv.AsSpan(block * blockSize, blockSize);

    public Span<byte> Block(int index) => MemoryMarshal.AsBytes(TokensOf(index));
}
