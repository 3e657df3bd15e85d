namespace VllmNative.Requests;

/// <summary>What a request has produced so far; cumulative.</summary>
public sealed record RequestOutput
{
    /// <summary>The caller's name for the request, or one the engine made.</summary>
    public required string RequestId { get; init; }

    /// <summary>The prompt's text, when it was given as text.</summary>
    public string? Prompt { get; init; }

    /// <summary>The prompt's token ids.</summary>
    public required IReadOnlyList<int> PromptTokenIds { get; init; }

    /// <summary>Prompt tokens that came from the prefix cache.</summary>
    public int CachedTokens { get; init; }

    /// <summary>The completions.</summary>
    public required IReadOnlyList<CompletionOutput> Outputs { get; init; }

    /// <summary>Text that the last completion gained since the previous output of this request.</summary>
    public string Delta { get; init; } = "";

    /// <summary>Whether this is the last output of the request.</summary>
    public bool Finished { get; init; }

    /// <summary>What failed, when the finish reason is Error.</summary>
    public string? Error { get; init; }

    /// <summary>When the request passed its stations.</summary>
    public required RequestTimings Timings { get; init; }

    /// <summary>The first completion's text.</summary>
    public string Text => Outputs.Count == 0 ? "" : Outputs[0].Text;
}
