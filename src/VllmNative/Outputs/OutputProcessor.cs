using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Outputs;

/// <summary>The outputs of a call: its completions, of which each is a request inside the engine, read together by one reader.</summary>
internal sealed class OutputProcessor
{
    private readonly CompletionReader[] _completions;
    private readonly SamplingParams _parameters;
    private readonly string _requestId;
    private readonly string? _prompt;
    private readonly int[] _promptIds;
    private PositionLogprobs?[]? _promptLogprobs;

    /// <param name="requests">The completions; the first is the parent of the others.</param>
    /// <param name="requestId">The caller's name for the call.</param>
    /// <param name="prompt">The prompt's text, when it was given as text.</param>
    /// <param name="promptIds">Its tokens.</param>
    /// <param name="tokenizer">Null: there are ids only.</param>
    /// <param name="primaryEos">The token whose end needs no further reason.</param>
    internal OutputProcessor(IReadOnlyList<Request> requests, string requestId, string? prompt, int[] promptIds, Tokenizer? tokenizer, int? primaryEos)
    {
        _completions = [.. requests.Select(request => new CompletionReader(request, tokenizer, primaryEos))];
        _parameters = requests[0].Parameters;
        _requestId = requestId;
        _prompt = prompt;
        _promptIds = promptIds;
    }

    internal IEnumerable<Request> Requests => _completions.Select(completion => completion.Request);

    internal bool Finished { get; private set; }

    /// <summary>Requests that the engine must be told about: ended by a stop string since the last call, or not at all.</summary>
    /// <param name="all">Whether the reader leaves, so that what has not ended must end.</param>
    internal IEnumerable<(Request Request, FinishReason Reason)> TakeEnded(bool all)
    {
        foreach (CompletionReader completion in _completions)
        {
            if (completion.TakeStop())
            {
                yield return (completion.Request, FinishReason.Stop);
            }
            else if (all && !completion.Finished)
            {
                yield return (completion.Request, FinishReason.Abort);
            }
        }
    }

    internal ValueTask WaitAsync(CancellationToken cancellationToken) => _completions[0].Request.Mailbox.WaitAsync(cancellationToken);

    /// <summary>Takes what the mailboxes have; returns whether there is an output to build.</summary>
    internal bool Advance()
    {
        bool news = false;
        bool finished = true;
        foreach (CompletionReader completion in _completions)
        {
            news |= !completion.Finished && completion.Advance();
            finished &= completion.Finished;
        }

        Finished = finished;
        return news && (finished || (_parameters is { OutputKind: not OutputKind.FinalOnly, Selects: false, UseBeamSearch: false }));
    }

    /// <summary>What there is so far, or since the last time.</summary>
    internal RequestOutput Build() => new()
    {
        RequestId = _requestId,
        Prompt = _prompt,
        PromptTokenIds = _promptIds,
        Usage = new TokenUsage(_promptIds.Length, _completions.Sum(completion => completion.TokenCount), Math.Max(_completions[0].Request.CachedTokens, 0)),
        Finished = Finished,
        Error = _completions.Select(completion => completion.Error).FirstOrDefault(error => error is not null),
        Timings = TimingsNow(),
        PromptLogprobs = PromptLogprobs(),
        Outputs = Completions(),
    };

    // Made once, when the first token says that they are complete.
    private PositionLogprobs?[]? PromptLogprobs()
    {
        if (_promptLogprobs is null && _completions[0] is { TokenCount: > 0, Request.PromptLogprobs: { } scored })
        {
            _promptLogprobs = [null, .. Enumerable.Range(0, _promptIds.Length - 1).Select(i => scored.Read(i, _promptIds[i + 1]))];
        }

        return _promptLogprobs;
    }

    private CompletionOutput[] Completions()
    {
        bool onlyNew = _parameters.OutputKind == OutputKind.Delta;
        if (_parameters.UseBeamSearch)
        {
            // Where there are fewer sequences than asked for, the last ones found none.
            return [.. _completions
                .Where(completion => completion.Score is not null || completion.FinishReason is FinishReason.Abort or FinishReason.Error)
                .Select((completion, index) => completion.Build(index, onlyNew))];
        }

        if (_parameters.Selects)
        {
            // Those that failed come last.
            return [.. _completions
                .OrderBy(completion => completion.Error is not null)
                .ThenByDescending(completion => completion.CumulativeLogprob)
                .Take(_parameters.N)
                .Select((completion, index) => completion.Build(index, onlyNew))];
        }

        return [.. _completions
            .Select((completion, index) => (completion, index))
            .Where(one => !onlyNew || one.completion.HasNews)
            .Select(one => one.completion.Build(one.index, onlyNew))];
    }

    // A copy: the engine goes on writing the requests' own.
    private RequestTimings TimingsNow()
    {
        RequestTimings timings = _completions[0].Request.Timings with { };
        timings.LastToken = Finished ? _completions.Max(completion => completion.Request.Timings.LastToken) : _completions.Length > 1 ? 0 : timings.LastToken;
        if (timings.LastToken == 0 && Array.Exists(_completions, completion => completion.StoppedByText) && Finished)
        {
            // The engine has yet to be told.
            timings.LastToken = TimeProvider.System.GetTimestamp();
        }

        return timings;
    }
}
