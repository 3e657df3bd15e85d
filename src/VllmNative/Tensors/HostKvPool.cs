namespace VllmNative.Tensors;

/// <summary>Swap space: KV blocks in host memory, pinned where the device is a GPU. Its blocks are those of the <see cref="KvPool"/>.</summary>
internal sealed class HostKvPool : IDisposable
{
    private readonly DeviceBuffer _memory;

    internal HostKvPool(Device device, KvGroup group, int numBlocks)
    {
        Group = group;
        NumBlocks = numBlocks;
        _memory = device.AllocateHost(group.BlockBytes * numBlocks);
    }

    internal KvGroup Group { get; }

    internal int NumBlocks { get; }

    internal nint Data => _memory.Data;

    internal long Bytes => _memory.Bytes;

    /// <summary>The bytes of a block. Any thread may use them, while no swap of the block is under way.</summary>
    internal unsafe Span<byte> Block(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, NumBlocks);
        return new Span<byte>((byte*)Data + (index * Group.BlockBytes), checked((int)Group.BlockBytes));
    }

    public void Dispose() => _memory.Dispose();
}
