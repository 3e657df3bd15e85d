namespace VllmNative.Requests;

/// <summary>The best sequences of a beam search that have ended, best first; of equals the earlier one.</summary>
internal sealed class BeamHypotheses(int width)
{
    private readonly BeamHypothesis[] _best = new BeamHypothesis[width];

    internal int Count { get; private set; }

    internal bool Full => Count == width;

    internal BeamHypothesis this[int index] => _best[index];

    /// <summary>The score that a sequence must beat to get in.</summary>
    internal double Worst => Full ? _best[^1].Score : double.NegativeInfinity;

    internal void Add(in BeamHypothesis sequence)
    {
        if (Full && sequence.Score <= Worst)
        {
            return;
        }

        int at = Full ? width - 1 : Count++;
        for (; at > 0 && _best[at - 1].Score < sequence.Score; at--)
        {
            _best[at] = _best[at - 1];
        }

        _best[at] = sequence;
    }
}
