namespace VllmNative.Cache.Eviction;

/// <summary>
/// Least frequently used first; a use counts half after every <c>halfLife</c> further hits of the cache. Scores are logarithms:
/// log2(sum over uses of 2^(time of use / halfLife)), so that time passing changes no order and no score must be revised.
/// </summary>
internal sealed class LfuEviction : ScoredEviction
{
    private readonly double[] _uses;
    private readonly double _halfLife;
    private double _time;

    internal LfuEviction(int blocks, double halfLife = 4096) : base(blocks)
    {
        _uses = new double[blocks];
        _halfLife = halfLife;
    }

    internal override void NoteNew(int block)
    {
        base.NoteNew(block);
        _time++;
        _uses[block] = _time / _halfLife;
    }

    internal override void NoteHit(int block)
    {
        _time++;
        double now = _time / _halfLife;
        double high = Math.Max(now, _uses[block]);
        _uses[block] = high + Math.Log2(1 + Math.Pow(2, Math.Min(now, _uses[block]) - high));
    }

    protected override double ScoreOf(int block, int chainBlocks) => _uses[block];
}
