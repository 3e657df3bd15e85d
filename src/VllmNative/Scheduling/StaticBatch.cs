namespace VllmNative.Scheduling;

/// <summary>
/// Static batching, the baseline: a batch is filled, runs until its last request has ended, and only then the next one is
/// filled. Each row reserves the KV of the longest request that there can be, so that their number is fixed; rows whose
/// request has ended are not computed.
/// </summary>
internal sealed class StaticBatch
{
    private readonly int _rows;
    private bool _filling;

    /// <param name="maxNumSeqs">Most rows.</param>
    /// <param name="reservations">Rows that the pool has room for.</param>
    internal StaticBatch(int maxNumSeqs, int reservations) => _rows = Math.Min(maxNumSeqs, reservations);

    internal bool IsFull(int running) => running >= _rows;

    /// <summary>Whether requests may join now.</summary>
    internal bool Open(int running)
    {
        _filling |= running == 0;
        return _filling && !IsFull(running);
    }

    /// <summary>Ends the filling when the batch is full or nobody waits.</summary>
    internal void Close(int running, int waiting) => _filling &= !IsFull(running) && waiting > 0;
}
