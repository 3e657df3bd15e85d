using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The device memory of all KV blocks, and each layer's view of it.</summary>
internal sealed class KvPool : IDisposable
{
    private readonly DeviceBuffer _memory;
    private readonly KvCacheView[] _views;

    internal KvPool(Device device, KvGroup group, int numBlocks)
    {
        Group = group;
        NumBlocks = numBlocks;
        _memory = device.Allocate(group.BlockBytes * numBlocks);
        _views = new KvCacheView[group.Layers];
        int size = group.Type.Size();
        for (int layer = 0; layer < group.Layers; layer++)
        {
            nint key = _memory.Data + (nint)(layer * (group.KeyElements + group.ValueElements) * size);
            long blockStride = group.BlockBytes / size;
            KvScales scales = group.ScalesOf(layer);
            _views[layer] = new KvCacheView
            {
                Dtype = (int)group.Type,
                Key = key,
                Value = key + (nint)(group.KeyElements * size),
                NumBlocks = numBlocks,
                BlockSize = group.BlockSize,
                NumHeads = group.KvHeads,
                KeyDim = group.KeyDim,
                ValueDim = group.ValueDim,
                KeyBlockStride = blockStride,
                KeyHeadStride = (long)group.BlockSize * group.KeyDim,
                KeySlotStride = group.KeyDim,
                ValueBlockStride = blockStride,
                ValueHeadStride = (long)group.BlockSize * group.ValueDim,
                ValueSlotStride = group.ValueDim,
                KeyScale = scales.Key,
                ValueScale = scales.Value,
            };
        }
    }

    internal KvGroup Group { get; }

    internal int NumBlocks { get; }

    internal nint Data => _memory.Data;

    internal long Bytes => _memory.Bytes;

    internal ref readonly KvCacheView ViewOf(int layer) => ref _views[layer];

    public void Dispose() => _memory.Dispose();
}
