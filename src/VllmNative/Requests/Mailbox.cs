using System.Diagnostics.CodeAnalysis;

namespace VllmNative.Requests;

/// <summary>
/// Where the engine thread leaves a request's tokens and a reader picks them up. The buffers are as large as the request can
/// ever need, so that posting never allocates and a slow reader never holds a step up; readers drain and coalesce.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "The semaphore's wait handle is never asked for, so it owns nothing.")]
internal sealed class Mailbox
{
    private readonly Lock _lock = new();
    private readonly int[] _ids;
    private readonly SampledLogprobs? _logprobs;
    private readonly SemaphoreSlim _signal = new(0, 1);
    private int _count;
    private bool _signaled;
    private FinishReason _finish;
    private int? _stopTokenId;
    private string? _error;

    /// <param name="maxTokens">Most tokens the request can generate.</param>
    /// <param name="numLogprobs">Log-probabilities asked for at each position; -1 = none.</param>
    internal Mailbox(int maxTokens, int numLogprobs)
    {
        _ids = new int[maxTokens];
        _logprobs = numLogprobs < 0 ? null : new SampledLogprobs(maxTokens, numLogprobs);
    }

    /// <summary>Next in the pump's list of mailboxes with news; owned by the engine thread and the pump.</summary>
    internal Mailbox? NextDirty;

    /// <summary>Whether it is in the pump's list.</summary>
    internal int Dirty;

    internal SampledLogprobs? Logprobs => _logprobs;

    /// <summary>Appends a token; engine thread.</summary>
    internal void Post(int id)
    {
        lock (_lock)
        {
            _ids[_count++] = id;
        }
    }

    /// <summary>Ends the request; the first end counts. Engine thread.</summary>
    internal void Finish(FinishReason reason, int? stopTokenId, string? error)
    {
        lock (_lock)
        {
            if (_finish == FinishReason.None)
            {
                (_finish, _stopTokenId, _error) = (reason, stopTokenId, error);
            }
        }
    }

    /// <summary>Wakes the reader; pump thread.</summary>
    internal void Wake()
    {
        lock (_lock)
        {
            if (_signaled)
            {
                return;
            }

            _signaled = true;
        }

        _signal.Release();
    }

    /// <summary>Waits for news.</summary>
    internal async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        await _signal.WaitAsync(cancellationToken).ConfigureAwait(false);
        lock (_lock)
        {
            _signaled = false;
        }
    }

    /// <summary>Copies the tokens from <paramref name="from"/> on into <paramref name="ids"/>.</summary>
    internal MailboxState Drain(int from, List<int> ids)
    {
        lock (_lock)
        {
            ids.AddRange(_ids.AsSpan(from, _count - from));
            return new MailboxState(_finish, _stopTokenId, _error);
        }
    }
}

/// <summary>How a request stood when its mailbox was drained.</summary>
internal readonly record struct MailboxState(FinishReason Finish, int? StopTokenId, string? Error);
