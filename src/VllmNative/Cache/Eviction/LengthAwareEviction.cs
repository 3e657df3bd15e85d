namespace VllmNative.Cache.Eviction;

/// <summary>
/// Keeps what is dear to compute again: a block is worth its whole sequence, whose computation grows with its length and, for
/// attention, with the square of it. What is worth less goes first; whenever a block goes, its worth becomes the start of
/// all that come after it, so that nothing dear and unused stays for ever (GreedyDual).
/// </summary>
internal sealed class LengthAwareEviction(int blocks) : ScoredEviction(blocks)
{
    // A sequence of this many blocks spends as much on attention as on everything else: about 16 000 tokens.
    private const double Balance = 1024;

    private double _start;

    protected override double ScoreOf(int block, int chainBlocks) => _start + (chainBlocks * (1 + (chainBlocks / Balance)));

    protected override void Leaving(int block, double score, bool first)
    {
        if (first)
        {
            _start = Math.Max(_start, score);
        }
    }
}
