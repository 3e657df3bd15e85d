namespace VllmNative.Requests;

/// <summary>The best sequences of a beam search that have ended, best first; of equals the earlier one. What they continue is held in the history.</summary>
internal sealed class BeamHypotheses(int width, BeamHistory history)
{
    private readonly BeamHypothesis[] _best = new BeamHypothesis[width];

    internal int Count { get; private set; }

    internal bool Full => Count == width;

    internal BeamHypothesis this[int index] => _best[index];

    /// <summary>The score that a sequence must beat to get in.</summary>
    internal double Worst => Full ? _best[^1].Score : double.NegativeInfinity;

    internal void Add(in BeamHypothesis ended)
    {
        if (Full && ended.Score <= Worst)
        {
            return;
        }

        history.Hold(ended.Sequence);
        if (Full)
        {
            history.Release(_best[--Count].Sequence);
        }

        int at = Count++;
        for (; at > 0 && _best[at - 1].Score < ended.Score; at--)
        {
            _best[at] = _best[at - 1];
        }

        _best[at] = ended;
    }
}
