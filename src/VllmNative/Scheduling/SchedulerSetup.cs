using VllmNative.Cache.Disk;
using VllmNative.Scheduling.Policies;

namespace VllmNative.Scheduling;

/// <summary>How a scheduler decides; without it: first come first served, preempted requests are computed again.</summary>
internal sealed record SchedulerSetup
{
    internal SchedulingPolicy? Policy { get; init; }

    internal PreemptionMode Preemption { get; init; } = PreemptionMode.Recompute;

    /// <summary>Host blocks for swapped requests.</summary>
    internal int SwapBlocks { get; init; }

    /// <summary>Host blocks behind them, for the prefix cache; only with one.</summary>
    internal int TierBlocks { get; init; }

    /// <summary>Writes and reads blocks of the host's tier; null = no disk.</summary>
    internal OffloadThread? Disk { get; init; }

    /// <summary>Bytes of a block, for what swapping costs.</summary>
    internal long BlockBytes { get; init; }

    /// <summary>What swapping is taken to reach until it was measured, in bytes a second.</summary>
    internal double AssumedSwapBandwidth { get; init; } = 2e9;

    /// <summary>The inter-token latency that decodes should see, in seconds; null = prefill takes what the step's bound leaves.</summary>
    internal double? TargetInterTokenLatency { get; init; }
}
