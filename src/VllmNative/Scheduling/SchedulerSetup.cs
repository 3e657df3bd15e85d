using VllmNative.Scheduling.Policies;

namespace VllmNative.Scheduling;

/// <summary>How a scheduler decides; without it: first come first served, preempted requests are computed again.</summary>
internal sealed record SchedulerSetup
{
    internal SchedulingPolicy? Policy { get; init; }

    internal PreemptionMode Preemption { get; init; } = PreemptionMode.Recompute;

    /// <summary>Host blocks for swapped requests.</summary>
    internal int SwapBlocks { get; init; }
}
