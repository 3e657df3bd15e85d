namespace VllmNative.Simulation;

/// <summary>What an engine's callers and its memory saw of a run, recorded or simulated. Times are in seconds.</summary>
public sealed record ServingFigures
{
    /// <summary>Requests that generated something.</summary>
    public required int Requests { get; init; }

    /// <summary>Tokens that they generated.</summary>
    public required long OutputTokens { get; init; }

    /// <summary>From the first arrival to the last end.</summary>
    public required double Seconds { get; init; }

    /// <summary>Requests that ended in a second.</summary>
    public required double RequestsPerSecond { get; init; }

    /// <summary>Tokens generated in a second.</summary>
    public required double OutputTokensPerSecond { get; init; }

    /// <summary>Time to first token, from arrival.</summary>
    public required Percentiles TimeToFirstToken { get; init; }

    /// <summary>
    /// Pause between two tokens: from the end of a step to the end of the next, once for each request that decodes in that one. What a
    /// request waits while it is preempted is not in it.
    /// </summary>
    public required Percentiles InterTokenLatency { get; init; }

    /// <summary>Mean time per output token after the first, by request.</summary>
    public required Percentiles TimePerOutputToken { get; init; }

    /// <summary>Arrival to end.</summary>
    public required Percentiles EndToEnd { get; init; }

    /// <summary>Largest share of the KV blocks in use at the end of a step, 0..1.</summary>
    public required double PeakKvUse { get; init; }

    /// <summary>Mean share over the time in which steps ran, 0..1.</summary>
    public required double MeanKvUse { get; init; }

    /// <summary>How often a request lost its blocks.</summary>
    public required long Preemptions { get; init; }

    /// <summary>Prompt tokens that were found in the prefix cache.</summary>
    public required long PrefixHitTokens { get; init; }

    /// <summary>Their share of all prompt tokens, 0..1.</summary>
    public required double PrefixHitRate { get; init; }

    /// <summary>Those of them that the cache had in host memory.</summary>
    public required long HostHitTokens { get; init; }

    /// <summary>Steps that ran.</summary>
    public required long Steps { get; init; }

    internal static ServingFigures Of(RunOutcome run)
    {
        IReadOnlyList<RequestOutcome> requests = run.Requests;
        double seconds = requests.Count == 0 ? 0 : requests.Max(request => request.Ended) - requests.Min(request => request.Arrived);
        long outputs = requests.Sum(request => (long)request.OutputLength);
        long prompts = requests.Sum(request => (long)request.PromptLength);
        long hits = requests.Sum(request => (long)request.CachedTokens);
        double busy = run.Steps.Sum(Duration);
        double blocks = Math.Max(run.TotalBlocks - 1, 1);
        return new ServingFigures
        {
            Requests = requests.Count,
            OutputTokens = outputs,
            Seconds = seconds,
            RequestsPerSecond = seconds > 0 ? requests.Count / seconds : 0,
            OutputTokensPerSecond = seconds > 0 ? outputs / seconds : 0,
            TimeToFirstToken = Percentiles.Of(requests.Select(request => request.FirstToken - request.Arrived)),
            InterTokenLatency = Percentiles.OfWeighted(run.Steps.Zip(run.Steps.Skip(1), (before, step) => (step.Ended - before.Ended, (long)step.DecodeRows))),
            TimePerOutputToken = Percentiles.Of(requests.Where(request => request.OutputLength > 1)
                .Select(request => (request.Ended - request.FirstToken) / (request.OutputLength - 1))),
            EndToEnd = Percentiles.Of(requests.Select(request => request.Ended - request.Arrived)),
            PeakKvUse = run.Steps.Count == 0 ? 0 : run.Steps.Max(step => step.UsedBlocks) / blocks,
            MeanKvUse = busy > 0 ? run.Steps.Sum(step => step.UsedBlocks * Duration(step)) / busy / blocks : 0,
            Preemptions = requests.Sum(request => (long)request.Preemptions),
            PrefixHitTokens = hits,
            PrefixHitRate = prompts > 0 ? (double)hits / prompts : 0,
            HostHitTokens = requests.Sum(request => (long)request.HostCachedTokens),
            Steps = run.Steps.Count,
        };
    }

    private static double Duration(StepOutcome step) => Math.Max(step.Ended - step.Submitted, 0);
}
