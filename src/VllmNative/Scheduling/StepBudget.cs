using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>What the step being planned may still compute: its tokens, and beside decodes as much prefill as a latency target allows.</summary>
internal sealed class StepBudget(SchedulerLimits limits, LatencyTarget? latency)
{
    private int _tokens;
    private int _logits;
    private StepLoad _planned;

    internal bool IsSpent => _tokens <= 0;

    /// <summary>Begins a step: decodes of running requests are certain to be in it.</summary>
    internal void Begin(RunningRequests running)
    {
        _tokens = limits.MaxNumBatchedTokens;
        // Who runs may sample.
        _logits = limits.MaxLogits - running.Count;
        _planned = default;
        if (latency is null)
        {
            return;
        }

        for (int i = 0; i < running.Count; i++)
        {
            Request request = running[i];
            if (request.Unscheduled == 1 && !IsDone(request))
            {
                _planned = _planned.With(1, request.Scheduled + 1);
            }
        }
    }

    /// <summary>Tokens of a request that the step may compute; 0 = none.</summary>
    /// <param name="request">The request.</param>
    /// <param name="computed">How many of its tokens are in the KV cache by then.</param>
    internal int ChunkOf(Request request, int computed)
    {
        // Steps in flight bring all that it may generate.
        if (IsDone(request))
        {
            return 0;
        }

        int tokens = Math.Min(request.Length + request.Pending - computed, _tokens);
        int threshold = limits.LongPrefillTokenThreshold;
        tokens = threshold > 0 ? Math.Min(tokens, threshold) : tokens;
        int logits = request.Status == RequestStatus.Running ? _logits + 1 : _logits;
        tokens = Math.Min(tokens, request.ScoresPromptFrom(computed) ? logits : logits > 0 ? tokens : 0);
        return tokens > 1 && latency is not null ? latency.PrefillTokens(_planned, computed, tokens) : tokens;
    }

    /// <summary>The step computes so many rows of logits more, or fewer where below 0, than <see cref="Begin"/> knew of.</summary>
    internal void TakeLogits(int rows) => _logits -= rows;

    /// <summary>The step computes these.</summary>
    /// <param name="tokens">Of one request.</param>
    /// <param name="length">Its tokens in the KV cache afterwards.</param>
    internal void Take(int tokens, int length)
    {
        _tokens -= tokens;
        if (latency is not null && tokens > 1)
        {
            _planned = _planned.With(tokens, length);
        }
    }

    private static bool IsDone(Request request) => request.OutputLength + request.Pending >= request.MaxTokens;
}
