namespace VllmNative.Cache.Eviction;

/// <summary>Least recently used first.</summary>
internal sealed class LruEviction(int blocks) : EvictionOrder
{
    private readonly BlockList _list = new(blocks);

    internal override int Count => _list.Count;

    internal override int First => _list.First;

    internal override void Add(int block, int chainBlocks) => _list.AddLast(block);

    internal override void Remove(int block) => _list.Remove(block);

    internal override int Peek(Span<int> blocks)
    {
        int count = 0;
        for (int block = _list.First; block != BlockList.None && count < blocks.Length; block = _list.After(block))
        {
            blocks[count++] = block;
        }

        return count;
    }

    internal override IEnumerable<int> Blocks() => _list.Blocks();
}
