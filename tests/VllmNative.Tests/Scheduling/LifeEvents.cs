namespace VllmNative.Tests.Scheduling;

/// <summary>What happened in lives of a scheduler, as counts: lives in which nothing happens show nothing.</summary>
internal readonly record struct LifeEvents(
    long Preemptions, int Finished, int Aborted, long Swaps, long HitTokens, long Evictions, int Forks, int Failures, long Onloads, int Moved, int Beams, int Interrupted, long DiskLoads, int BoundedChunks)
{
    public static LifeEvents operator +(LifeEvents a, LifeEvents b) => new(
        a.Preemptions + b.Preemptions, a.Finished + b.Finished, a.Aborted + b.Aborted, a.Swaps + b.Swaps, a.HitTokens + b.HitTokens,
        a.Evictions + b.Evictions, a.Forks + b.Forks, a.Failures + b.Failures, a.Onloads + b.Onloads, a.Moved + b.Moved, a.Beams + b.Beams,
        a.Interrupted + b.Interrupted, a.DiskLoads + b.DiskLoads, a.BoundedChunks + b.BoundedChunks);
}
