namespace VllmNative.Requests;

/// <summary>One completion of a request, as far as it has come.</summary>
public sealed record CompletionOutput
{
    /// <summary>Which of the request's completions this is.</summary>
    public int Index { get; init; }

    /// <summary>The text so far.</summary>
    public required string Text { get; init; }

    /// <summary>The token ids so far.</summary>
    public required IReadOnlyList<int> TokenIds { get; init; }

    /// <summary>One entry for each token, when log-probabilities were asked for.</summary>
    public IReadOnlyList<PositionLogprobs>? Logprobs { get; init; }

    /// <summary>Why it ended; None while it goes on.</summary>
    public FinishReason FinishReason { get; init; }

    /// <summary>The stop string (string) or stop token (int) that ended it; null otherwise.</summary>
    public object? StopReason { get; init; }
}
