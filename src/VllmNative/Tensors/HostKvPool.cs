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

    public void Dispose() => _memory.Dispose();
}
