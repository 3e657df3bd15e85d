using VllmNative.Recording;

namespace VllmNative.Simulation;

/// <summary>What became of a request, recorded or simulated. Times are in seconds.</summary>
internal readonly record struct RequestOutcome(
    double Arrived, double FirstToken, double Ended, int PromptLength, int OutputLength, int CachedTokens, int HostCachedTokens, int Preemptions)
{
    internal static RequestOutcome Of(RecordedRequest request) => new(
        request.Arrived, request.FirstToken ?? request.Ended, request.Ended, request.PromptLength, request.OutputLength, request.CachedTokens, request.HostCachedTokens,
        request.Preemptions);
}

/// <summary>What a step says about latency and memory.</summary>
/// <param name="Submitted">When it was handed over.</param>
/// <param name="Ended">When it was back.</param>
/// <param name="DecodeRows">Requests that got their next token.</param>
/// <param name="UsedBlocks">KV blocks that had owners when it ended.</param>
internal readonly record struct StepOutcome(double Submitted, double Ended, int DecodeRows, int UsedBlocks)
{
    internal static StepOutcome Of(RecordedStep step) => new(step.Submitted, step.Ended, step.Load.DecodeRows, step.UsedBlocks);
}

/// <summary>A run as its requests and steps saw it.</summary>
internal sealed record RunOutcome(IReadOnlyList<RequestOutcome> Requests, IReadOnlyList<StepOutcome> Steps, int TotalBlocks)
{
    /// <summary>Requests that did not end.</summary>
    internal int Unserved { get; init; }
}
