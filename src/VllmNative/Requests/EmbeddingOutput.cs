namespace VllmNative.Requests;

/// <summary>A prompt's vector.</summary>
public sealed record EmbeddingOutput
{
    /// <summary>The caller's name for the request, or one the engine made.</summary>
    public required string RequestId { get; init; }

    /// <summary>The prompt's token ids.</summary>
    public required IReadOnlyList<int> PromptTokenIds { get; init; }

    /// <summary>Prompt tokens that came from the prefix cache.</summary>
    public int CachedTokens { get; init; }

    /// <summary>The vector, as long as the model's hidden states.</summary>
    public required ReadOnlyMemory<float> Embedding { get; init; }

    /// <summary>When the request passed its stations; there is no first token.</summary>
    public required RequestTimings Timings { get; init; }
}
