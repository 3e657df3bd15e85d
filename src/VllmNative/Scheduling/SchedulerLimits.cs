namespace VllmNative.Scheduling;

/// <summary>The bounds of a step.</summary>
/// <param name="MaxNumSeqs">Most requests that run at the same time.</param>
/// <param name="MaxNumBatchedTokens">Most tokens that a step computes.</param>
/// <param name="LongPrefillTokenThreshold">Most tokens that one request computes in a step; 0 = no bound of its own.</param>
/// <param name="MaxCountSlots">Most running requests with penalties.</param>
internal sealed record SchedulerLimits(int MaxNumSeqs, int MaxNumBatchedTokens, int LongPrefillTokenThreshold, int MaxCountSlots)
{
    /// <summary>How often later requests may be served before one that does not fit.</summary>
    internal int MaxOvertakes { get; init; } = 16;

    /// <summary>Most block table entries that a step changes.</summary>
    internal int MaxTableUpdates { get; init; } = int.MaxValue;

    /// <summary>Most rows of logits that a step computes, at least <see cref="MaxNumSeqs"/>.</summary>
    internal int MaxLogits { get; init; } = int.MaxValue;

    /// <summary>Static batching: tokens that each row reserves; 0 = rows take blocks as they grow, and requests come and go at every step.</summary>
    internal int StaticRowTokens { get; init; }
}
