namespace VllmNative.Requests;

/// <summary>
/// Where the engine thread leaves a request's tokens and a reader picks them up. The buffers are as large as the request can
/// ever need, so that posting never allocates and a slow reader never holds a step up; readers drain and coalesce. There is
/// no lock: a reader that loses the processor in the middle of draining holds nobody up.
/// </summary>
internal sealed class Mailbox
{
    private readonly int[] _ids;
    private readonly SampledLogprobs? _logprobs;
    private readonly ReaderSignal _signal;
    private int _count;
    private MailboxState _state = MailboxState.Open;

    /// <param name="maxTokens">Most tokens the request can generate.</param>
    /// <param name="numLogprobs">Log-probabilities asked for at each position; -1 = none.</param>
    /// <param name="requestedIds">Tokens whose log-probabilities are asked for by name; null = none.</param>
    /// <param name="sharedWith">A mailbox of the same reader, who waits for news of any; null = it has a reader of its own.</param>
    internal Mailbox(int maxTokens, int numLogprobs, int[]? requestedIds = null, Mailbox? sharedWith = null)
    {
        _signal = sharedWith?._signal ?? new ReaderSignal();
        _ids = new int[maxTokens];
        _logprobs = numLogprobs < 0 ? null : new SampledLogprobs(maxTokens, numLogprobs, requestedIds ?? []);
    }

    /// <summary>Next in the pump's list of mailboxes with news; owned by the engine thread and the pump.</summary>
    internal Mailbox? NextDirty;

    /// <summary>Whether it is in the pump's list.</summary>
    internal int Dirty;

    internal SampledLogprobs? Logprobs => _logprobs;

    /// <summary>Appends a token; engine thread.</summary>
    internal void Post(int id)
    {
        _ids[_count] = id;
        // The count is what readers look at: token and log-probabilities are there before it.
        Volatile.Write(ref _count, _count + 1);
    }

    /// <summary>Ends the request; the first end counts. Tokens are posted before it.</summary>
    internal void Finish(FinishReason reason, int? stopTokenId, string? error, double? score = null) =>
        Interlocked.CompareExchange(ref _state, MailboxState.Of(reason, stopTokenId, error, score), MailboxState.Open);

    /// <summary>Wakes the reader; pump thread.</summary>
    internal void Wake() => _signal.Set();

    /// <summary>Waits for news, of this mailbox or of those that share its reader.</summary>
    internal ValueTask WaitAsync(CancellationToken cancellationToken) => _signal.WaitAsync(cancellationToken);

    /// <summary>Copies the tokens from <paramref name="from"/> on into <paramref name="ids"/>.</summary>
    internal MailboxState Drain(int from, List<int> ids)
    {
        // The state first: with the end come all tokens.
        MailboxState state = Volatile.Read(ref _state);
        ids.AddRange(_ids.AsSpan(from, Volatile.Read(ref _count) - from));
        return state;
    }
}

/// <summary>How a request stood when its mailbox was drained.</summary>
internal sealed record MailboxState(FinishReason Finish, int? StopTokenId, string? Error)
{
    // Ends about which there is no more to say, one for each reason: many requests may end in one step.
    private static readonly MailboxState[] Plain = [.. Enum.GetValues<FinishReason>().Order().Select(reason => new MailboxState(reason, null, null))];

    /// <summary>Of a sequence that a beam search has found.</summary>
    internal double? Score { get; init; }

    /// <summary>It goes on.</summary>
    internal static MailboxState Open { get; } = Plain[(int)FinishReason.None];

    internal static MailboxState Of(FinishReason finish, int? stopTokenId, string? error, double? score) =>
        stopTokenId is null && error is null && score is null ? Plain[(int)finish] : new(finish, stopTokenId, error) { Score = score };
}
