namespace VllmNative.Requests;

/// <summary>What a request has produced: so far, or since the output before, as <see cref="OutputKind"/> says.</summary>
public sealed record RequestOutput
{
    /// <summary>The caller's name for the request, or one the engine made.</summary>
    public required string RequestId { get; init; }

    /// <summary>The prompt's text, when it was given as text.</summary>
    public string? Prompt { get; init; }

    /// <summary>The prompt's token ids.</summary>
    public required IReadOnlyList<int> PromptTokenIds { get; init; }

    /// <summary>Prompt tokens that came from the prefix cache.</summary>
    public int CachedTokens => Usage.CachedTokens;

    /// <summary>Tokens used so far.</summary>
    public TokenUsage Usage { get; init; }

    /// <summary>One entry for each prompt token, when they were asked for; null for the first, which follows nothing, and as a whole until the first token is there.</summary>
    public IReadOnlyList<PositionLogprobs?>? PromptLogprobs { get; init; }

    /// <summary>The completions in the order of their index; with <see cref="OutputKind.Delta"/> those that have news.</summary>
    public required IReadOnlyList<CompletionOutput> Outputs { get; init; }

    /// <summary>Text that the first of <see cref="Outputs"/> gained since the previous output of this request.</summary>
    public string Delta => Outputs.Count == 0 ? "" : Outputs[0].Delta;

    /// <summary>Whether this is the last output of the request.</summary>
    public bool Finished { get; init; }

    /// <summary>What failed first, when a finish reason is Error.</summary>
    public string? Error { get; init; }

    /// <summary>When the request passed its stations; the first token is that of the first completion, the end that of the last.</summary>
    public required RequestTimings Timings { get; init; }

    /// <summary>The first completion's text.</summary>
    public string Text => Outputs.Count == 0 ? "" : Outputs[0].Text;
}
