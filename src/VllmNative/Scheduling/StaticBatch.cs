namespace VllmNative.Scheduling;

/// <summary>
/// Static batching, the baseline: a batch is filled, runs until its last request has ended, and only then the next one is
/// filled. Each request has a row of the KV cache to itself (<see cref="Cache.StaticRows"/>); rows whose request has ended are not
/// computed, and stay empty until the next batch.
/// </summary>
/// <param name="running">The batch.</param>
/// <param name="rows">Rows of the KV cache.</param>
internal sealed class StaticBatch(RunningRequests running, int rows)
{
    private bool _filling;

    // Who has ended while the others were still coming has had its place too.
    private int _joined;

    internal bool IsFull => _joined >= Math.Min(running.Most, rows);

    /// <summary>Whether requests may join now.</summary>
    internal bool Open()
    {
        if (running.Count == 0)
        {
            (_filling, _joined) = (true, 0);
        }

        return _filling && !IsFull;
    }

    /// <summary>A request has joined.</summary>
    internal void Join() => _joined++;

    /// <summary>Ends the filling when the batch is full or nobody waits.</summary>
    internal void EndFilling(int waiting) => _filling &= !IsFull && waiting > 0;
}
