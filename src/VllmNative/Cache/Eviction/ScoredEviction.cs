namespace VllmNative.Cache.Eviction;

/// <summary>Lowest score first.</summary>
internal abstract class ScoredEviction(int blocks) : EvictionOrder
{
    private readonly BlockHeap _heap = new(blocks);

    // What blocks are worth at least: as much as those behind them that came before them.
    private readonly double[] _least = new double[blocks];

    // What the blocks behind the next one are worth.
    private double _behind = double.NegativeInfinity;

    internal sealed override int Count => _heap.Count;

    internal sealed override int First => _heap.First;

    internal sealed override void BeginChain() => _behind = double.NegativeInfinity;

    internal sealed override void Add(int block, int chainBlocks)
    {
        NoteKept(block, chainBlocks);
        _behind = _least[block];
        _heap.Add(block, _behind);
    }

    internal sealed override void NoteKept(int block, int chainBlocks)
    {
        _behind = Math.Max(_behind, ScoreOf(block, chainBlocks));
        _least[block] = Math.Max(_least[block], _behind);
    }

    internal override void NoteNew(int block) => _least[block] = double.NegativeInfinity;

    internal sealed override void Remove(int block)
    {
        Leaving(block, _heap.ScoreOf(block), block == _heap.First);
        _heap.Remove(block);
    }

    internal sealed override int Peek(Span<int> blocks) => _heap.Peek(blocks);

    internal sealed override IEnumerable<int> Blocks() => _heap.Blocks.ToArray();

    /// <summary>The block's worth at the moment at which it loses its last owner.</summary>
    protected abstract double ScoreOf(int block, int chainBlocks);

    /// <summary>The block is taken out.</summary>
    protected virtual void Leaving(int block, double score, bool first)
    {
    }
}
