using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Simulation;

/// <summary>A request that samples.</summary>
internal sealed class SimulatedCompletion : SimulatedRequest
{
    private readonly SyntheticSequence _tokens;

    /// <param name="recorded">No beam search.</param>
    /// <param name="number">Its own, above 0.</param>
    /// <param name="tokens">Stand for what was not recorded.</param>
    /// <param name="setup">The engine, whose KV cache holds all that the request computes.</param>
    /// <param name="queued">When it comes.</param>
    /// <param name="parent">The first completion of its prompt; null = it is that itself, or that one is unknown.</param>
    internal SimulatedCompletion(RecordedRequest recorded, int number, SyntheticTokens tokens, TraceHeader setup, double queued, Request? parent)
        : base(recorded)
    {
        _tokens = tokens.Of(recorded, number);
        int maxTokens = (int)Math.Min(recorded.MaxTokens, setup.RequestTokens - recorded.PromptLength + 1);
        Request = new Request(number, _tokens.Take(recorded.PromptLength), SamplingParams.Greedy, maxTokens, [], setup.BlockSize, seed: 0, parent)
        {
            Scheduling = Scheduling(),
            QueuedAt = queued,
        };
    }

    internal override Request Request { get; }

    internal override int OutputLength => Request.OutputLength;

    internal override void Finish(Scheduler scheduler) => scheduler.Finish(Request);

    protected override bool TakeTokens(Request request, Scheduler scheduler)
    {
        if (OutputLength < Recorded.OutputLength)
        {
            Request.Append(_tokens[Request.Length]);
        }

        if (OutputLength >= Recorded.OutputLength)
        {
            return true;
        }

        scheduler.TokensTaken(Request);
        return false;
    }
}
