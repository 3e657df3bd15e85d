using System.Runtime.InteropServices;
using System.Text;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Outputs;

/// <summary>
/// Turns the tokens of one completion's mailbox into text, on the reader's thread. Stop strings are found here: what was
/// generated past one is dropped from text, ids and log-probabilities, and the engine is told to end the completion.
/// </summary>
internal sealed class CompletionReader
{
    private readonly Request _request;
    private readonly int? _primaryEos;
    private readonly IncrementalDetokenizer? _detokenizer;
    private readonly StopMatcher _stops;
    private readonly List<int> _ids = [];
    private readonly List<PositionLogprobs> _logprobs = [];
    private readonly StringBuilder _text = new();
    private double _cumulativeLogprob;
    private int _drained;
    private int _released;
    private int _reported;
    private FinishReason _finish;
    private object? _stopReason;
    private bool _stopTaken;

    internal CompletionReader(Request request, Tokenizer? tokenizer, int? primaryEos)
    {
        _request = request;
        _primaryEos = primaryEos;
        _stops = new StopMatcher(request.Parameters.Stop);
        if (tokenizer is not null && request.Parameters.Detokenize)
        {
            _detokenizer = new IncrementalDetokenizer(tokenizer, request.Parameters.SkipSpecialTokens, request.Parameters.SpacesBetweenSpecialTokens);
        }
    }

    internal Request Request => _request;

    internal bool Finished => _finish != FinishReason.None;

    internal FinishReason FinishReason => _finish;

    /// <summary>Whether it has changed since it was last built.</summary>
    internal bool HasNews { get; private set; }

    /// <summary>Whether a stop string ended it, so that the engine must be told.</summary>
    internal bool StoppedByText { get; private set; }

    /// <summary>True once, after a stop string has ended it.</summary>
    internal bool TakeStop()
    {
        bool take = StoppedByText && !_stopTaken;
        _stopTaken |= take;
        return take;
    }

    internal string? Error { get; private set; }

    internal int TokenCount => _ids.Count;

    internal double CumulativeLogprob => _cumulativeLogprob;

    /// <summary>Of a sequence that a beam search has found; null = it has found none.</summary>
    internal double? Score { get; private set; }

    /// <summary>Takes what the mailbox has; returns whether anything is new.</summary>
    internal bool Advance()
    {
        bool news = Drain();
        HasNews |= news;
        return news;
    }

    /// <summary>What there is so far, or what is new.</summary>
    internal CompletionOutput Build(int index, bool onlyNew)
    {
        int visible = Finished ? _text.Length : Math.Max(_released, _text.Length - _stops.HeldBack);
        if (visible > _released && visible < _text.Length && char.IsHighSurrogate(_text[visible - 1]))
        {
            // Never half a character.
            visible--;
        }

        string delta = _text.ToString(_released, visible - _released);
        int from = onlyNew ? _reported : 0;
        _released = visible;
        _reported = _ids.Count;
        HasNews = false;
        return new CompletionOutput
        {
            Index = index,
            Text = onlyNew ? delta : _text.ToString(0, visible),
            Delta = delta,
            TokenIds = CollectionsMarshal.AsSpan(_ids)[from..].ToArray(),
            Logprobs = !_request.Parameters.ReturnsLogprobs ? null : CollectionsMarshal.AsSpan(_logprobs)[from..].ToArray(),
            CumulativeLogprob = _request.Mailbox.Logprobs is null ? null : _cumulativeLogprob,
            Score = Score,
            FinishReason = _finish,
            StopReason = _stopReason,
        };
    }

    private bool Drain()
    {
        int before = _ids.Count;
        MailboxState state = _request.Mailbox.Drain(_drained, _ids);
        _drained = _ids.Count;
        for (int i = before; i < _ids.Count; i++)
        {
            // Not asked of the state: a reader may see the token before the end that follows it.
            if (Take(i, stopToken: _request.EndsWith(_ids[i], i + 1)))
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

    // Takes one token; returns whether a stop string ended the completion with it.
    private bool Take(int index, bool stopToken)
    {
        int id = _ids[index];
        if (_request.Mailbox.Logprobs is { } logprobs)
        {
            _cumulativeLogprob += logprobs.At(index);
            if (_request.Parameters.ReturnsLogprobs)
            {
                _logprobs.Add(logprobs.Read(index, id));
            }
        }

        // The token that ended it is in the ids, its text only on demand.
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
        Score = state.Score;
        _stopReason = state.Finish == FinishReason.Repetition ? "repetition_detected"
            // The end of a sequence needs no further reason.
            : state.StopTokenId == _primaryEos ? null : state.StopTokenId;
        Error = state.Error;
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
