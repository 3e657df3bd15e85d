using VllmNative.Recording;
using VllmNative.Requests;

namespace VllmNative.Simulation;

/// <summary>A recorded request that the simulated engine serves.</summary>
internal sealed class SimulatedRequest
{
    private readonly RecordedRequest _recorded;
    private readonly SyntheticTokens _tokens;
    private readonly int[] _blockNumbers;
    private readonly int _number;
    private double _firstToken;

    /// <param name="recorded">At least one token of output.</param>
    /// <param name="number">Its own, above 0.</param>
    /// <param name="tokens">Stand for what was not recorded.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="poolTokens">What the KV pool holds, at least all that the request computes.</param>
    internal SimulatedRequest(RecordedRequest recorded, int number, SyntheticTokens tokens, int blockSize, long poolTokens)
    {
        (_recorded, _number, _tokens) = (recorded, number, tokens);
        _blockNumbers = tokens.NumbersOf(recorded);
        var prompt = new int[recorded.PromptLength];
        for (int i = 0; i < prompt.Length; i++)
        {
            prompt[i] = tokens.At(_blockNumbers, number, i);
        }

        int maxTokens = (int)Math.Min(recorded.MaxTokens, poolTokens - recorded.PromptLength + 1);
        Request = new Request(number, prompt, SamplingParams.Greedy, maxTokens, [], blockSize, seed: 0)
        {
            Scheduling = new RequestScheduling
            {
                Priority = recorded.Priority,
                User = recorded.User,
                CacheSalt = recorded.Salt,
                SkipReadingPrefixCache = recorded.SkipReadingPrefixCache,
            },
            QueuedAt = recorded.Arrived,
        };
    }

    internal Request Request { get; }

    /// <summary>The request gets its next token.</summary>
    /// <returns>Whether that was its last one.</returns>
    internal bool Take(double now)
    {
        if (Request.OutputLength == 0)
        {
            _firstToken = now;
        }

        Request.Append(_tokens.At(_blockNumbers, _number, Request.Length));
        return Request.OutputLength == _recorded.OutputLength;
    }

    internal RequestOutcome Outcome(double ended) => new(
        _recorded.Arrived, _firstToken, ended, _recorded.PromptLength, Request.OutputLength, Math.Max(Request.CachedTokens, 0), Request.Preemptions);
}
