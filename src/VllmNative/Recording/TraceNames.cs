using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Recording;

/// <summary>How a trace spells what has a name: as the API and the command line do.</summary>
internal static class TraceNames
{
    internal static IReadOnlyList<string> PreemptionModes { get; } = ["auto", "recompute", "swap"];

    internal static string Of(PreemptionMode mode) => PreemptionModes[(int)mode];

    /// <param name="name">One of <see cref="PreemptionModes"/>.</param>
    internal static PreemptionMode PreemptionMode(string name) => name switch
    {
        "auto" => Scheduling.PreemptionMode.Auto,
        "recompute" => Scheduling.PreemptionMode.Recompute,
        "swap" => Scheduling.PreemptionMode.Swap,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "expected one of " + string.Join(", ", PreemptionModes)),
    };

    internal static string Of(StepEventKind kind) => kind switch
    {
        StepEventKind.Admitted => "admitted",
        StepEventKind.PrefixHit => "prefix_hit",
        StepEventKind.Preempted => "preempted",
        StepEventKind.SwappedOut => "swapped_out",
        StepEventKind.SwappedIn => "swapped_in",
        StepEventKind.Evicted => "evicted",
        _ => "finished",
    };

    internal static string Of(FinishReason reason) => reason switch
    {
        FinishReason.Stop => "stop",
        FinishReason.Length => "length",
        FinishReason.Abort => "abort",
        _ => "error",
    };
}
