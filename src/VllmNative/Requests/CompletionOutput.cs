namespace VllmNative.Requests;

/// <summary>One completion of a request, as far as it has come.</summary>
public sealed record CompletionOutput
{
    /// <summary>Which of the request's completions this is.</summary>
    public int Index { get; init; }

    /// <summary>The text so far; with <see cref="OutputKind.Delta"/> what is new.</summary>
    public required string Text { get; init; }

    /// <summary>Text gained since the previous output of this completion.</summary>
    public string Delta { get; init; } = "";

    /// <summary>The token ids so far; with <see cref="OutputKind.Delta"/> the new ones.</summary>
    public required IReadOnlyList<int> TokenIds { get; init; }

    /// <summary>One entry for each of <see cref="TokenIds"/>, when log-probabilities were asked for.</summary>
    public IReadOnlyList<PositionLogprobs>? Logprobs { get; init; }

    /// <summary>Sum of all its tokens' log-probabilities so far, when they were asked for or decide between candidates or beams.</summary>
    public double? CumulativeLogprob { get; init; }

    /// <summary>With a beam search: the cumulative log-probability divided by length^length_penalty, by which the completions are ordered.</summary>
    public double? Score { get; init; }

    /// <summary>Why it ended; None while it goes on.</summary>
    public FinishReason FinishReason { get; init; }

    /// <summary>The stop string (string) or stop token (int) that ended it, or "repetition_detected"; null otherwise.</summary>
    public object? StopReason { get; init; }
}
