using VllmNative.Requests;

namespace VllmNative.Scheduling.Policies;

/// <summary>
/// Who is expected to be done soonest is served first: the prompt, and of the output as much of its bound as requests used on
/// average so far. A predicted token counts as so many seconds of arrival, so that long requests are late, not lost.
/// </summary>
internal sealed class ShortestPredictedPolicy(double secondsPerToken = 0.01) : SchedulingPolicy
{
    private const double Learning = 0.05;

    // A prompt's tokens are computed together.
    private const double PromptWeight = 0.05;

    /// <summary>Share of the bound that outputs reached, on average.</summary>
    internal double OutputShare { get; private set; } = 0.5;

    internal override bool Preempts => true;

    internal override double RankOf(Request request) =>
        request.QueuedAt + (secondsPerToken * ((PromptWeight * request.PromptLength) + (OutputShare * request.MaxTokens)));

    internal override void NoteFinished(Request request)
    {
        // Who has no output teaches nothing about outputs: it was aborted before, or wants none.
        if (request.OutputLength > 0)
        {
            OutputShare += Learning * (((double)request.OutputLength / request.MaxTokens) - OutputShare);
        }
    }
}
