namespace VllmNative.Scheduling;

/// <summary>The bounds of a step.</summary>
/// <param name="MaxNumSeqs">Most requests that run at the same time.</param>
/// <param name="MaxNumBatchedTokens">Most tokens that a step computes.</param>
/// <param name="LongPrefillTokenThreshold">Most tokens that one request computes in a step; 0 = no bound of its own.</param>
/// <param name="MaxCountSlots">Most running requests with penalties.</param>
internal sealed record SchedulerLimits(int MaxNumSeqs, int MaxNumBatchedTokens, int LongPrefillTokenThreshold, int MaxCountSlots);
