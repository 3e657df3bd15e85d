using VllmNative.Scheduling;

namespace VllmNative.Recording;

/// <summary>What a step did and how long it took. Times are in seconds since the recording began.</summary>
internal readonly record struct RecordedStep
{
    internal long Id { get; init; }

    /// <summary>When it was handed to the device.</summary>
    internal double Submitted { get; init; }

    /// <summary>When its results were back.</summary>
    internal double Ended { get; init; }

    /// <summary>From the end of the step before it, or from its submission when that was later.</summary>
    internal double Seconds { get; init; }

    internal StepLoad Load { get; init; }

    /// <summary>KV blocks that had owners when it ended.</summary>
    internal int UsedBlocks { get; init; }

    internal bool Failed { get; init; }

    /// <summary>Of swaps that were seen to have happened with this step.</summary>
    internal long SwapBytes { get; init; }

    internal double SwapSeconds { get; init; }

    /// <summary>Events that belong to it.</summary>
    internal int EventCount { get; init; }
}
