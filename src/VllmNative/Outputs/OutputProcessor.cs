using System.Text;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Outputs;

/// <summary>
/// Turns the tokens of one request's mailbox into text and outputs, on the reader's thread. Stop strings are found here:
/// what was generated past one is dropped from text, ids and log-probabilities, and the engine is told to end the request.
/// </summary>
internal sealed class OutputProcessor
{
    private readonly Request _request;
    private readonly string _requestId;
    private readonly string? _prompt;
    private readonly int[] _promptIds;
    private readonly int? _primaryEos;
    private readonly IncrementalDetokenizer? _detokenizer;
    private readonly StopMatcher _stops;
    private readonly List<int> _ids = [];
    private readonly List<PositionLogprobs> _logprobs = [];
    private readonly StringBuilder _text = new();
    private int _drained;
    private int _released;
    private FinishReason _finish;
    private object? _stopReason;
    private string? _error;

    internal OutputProcessor(Request request, string requestId, string? prompt, int[] promptIds, Tokenizer? tokenizer, int? primaryEos)
    {
        _request = request;
        _requestId = requestId;
        _prompt = prompt;
        _promptIds = promptIds;
        _primaryEos = primaryEos;
        _stops = new StopMatcher(request.Parameters.Stop);
        if (tokenizer is not null && request.Parameters.Detokenize)
        {
            _detokenizer = new IncrementalDetokenizer(tokenizer, request.Parameters.SkipSpecialTokens);
        }
    }

    internal Request Request => _request;

    internal bool Finished => _finish != FinishReason.None;

    /// <summary>Whether a stop string ended it, so that the engine must be told.</summary>
    internal bool StoppedByText { get; private set; }

    internal ValueTask WaitAsync(CancellationToken cancellationToken) => _request.Mailbox.WaitAsync(cancellationToken);

    /// <summary>Takes what the mailbox has; returns whether anything is new.</summary>
    internal bool Advance()
    {
        int before = _ids.Count;
        MailboxState state = _request.Mailbox.Drain(_drained, _ids);
        _drained = _ids.Count;
        for (int i = before; i < _ids.Count; i++)
        {
            bool last = i == _ids.Count - 1;
            bool stopToken = last && state.Finish == FinishReason.Stop;
            if (Take(i, stopToken))
            {
                _ids.RemoveRange(i + 1, _ids.Count - i - 1);
                return true;
            }
        }

        if (state.Finish != FinishReason.None)
        {
            End(state);
            return true;
        }

        return _ids.Count > before;
    }

    /// <summary>What there is so far.</summary>
    internal RequestOutput Build()
    {
        int visible = Finished ? _text.Length : Math.Max(_released, _text.Length - _stops.HeldBack);
        if (visible > _released && visible < _text.Length && char.IsHighSurrogate(_text[visible - 1]))
        {
            // Never half a character.
            visible--;
        }

        string delta = _text.ToString(_released, visible - _released);
        _released = visible;
        return new RequestOutput
        {
            RequestId = _requestId,
            Prompt = _prompt,
            PromptTokenIds = _promptIds,
            CachedTokens = Math.Max(_request.CachedTokens, 0),
            Finished = Finished,
            Delta = delta,
            Error = _error,
            Timings = TimingsNow(),
            Outputs =
            [
                new CompletionOutput
                {
                    Text = _text.ToString(0, visible),
                    TokenIds = _ids.ToArray(),
                    Logprobs = _request.Mailbox.Logprobs is null ? null : _logprobs.ToArray(),
                    FinishReason = _finish,
                    StopReason = _stopReason,
                },
            ],
        };
    }

    // A copy: the engine goes on writing the request's own.
    private RequestTimings TimingsNow()
    {
        RequestTimings timings = _request.Timings with { };
        if (StoppedByText && timings.LastToken == 0)
        {
            // The engine has yet to be told.
            timings.LastToken = TimeProvider.System.GetTimestamp();
        }

        return timings;
    }

    // Takes one token; returns whether a stop string ended the request with it.
    private bool Take(int index, bool stopToken)
    {
        int id = _ids[index];
        if (_request.Mailbox.Logprobs is { } logprobs)
        {
            _logprobs.Add(logprobs.Read(index, id));
        }

        // The token that ended the request is in the ids, its text only on demand.
        if (_detokenizer is null || (stopToken && !_request.Parameters.IncludeStopStrInOutput))
        {
            return false;
        }

        int before = _text.Length;
        _detokenizer.Append([id], _text);
        if (TooEarlyToStop(index + 1) || _stops.Find(_text, before, out int start) is not { } stop)
        {
            return false;
        }

        _text.Length = _request.Parameters.IncludeStopStrInOutput ? start + stop.Length : start;
        _finish = FinishReason.Stop;
        _stopReason = stop;
        StoppedByText = true;
        return true;
    }

    // min_tokens come before what stops, whether that is a token or a text.
    private bool TooEarlyToStop(int tokens) => _request.Parameters.MinTokens > 0 && tokens <= _request.Parameters.MinTokens;

    private void End(MailboxState state)
    {
        _finish = state.Finish;
        // The end of a sequence needs no further reason.
        _stopReason = state.StopTokenId == _primaryEos ? null : state.StopTokenId;
        _error = state.Error;
        int before = _text.Length;
        _detokenizer?.Flush(_text);
        if (!TooEarlyToStop(_ids.Count) && _stops.Find(_text, before, out int start) is { } stop)
        {
            _text.Length = _request.Parameters.IncludeStopStrInOutput ? start + stop.Length : start;
            _finish = FinishReason.Stop;
            _stopReason = stop;
        }
    }
}
