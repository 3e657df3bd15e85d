using VllmNative.Diagnostics;

namespace VllmNative.Requests;

/// <summary>What a request starts from: text, or token ids.</summary>
public readonly record struct Prompt
{
    private Prompt(string? text, IReadOnlyList<int>? tokenIds)
    {
        Text = text;
        TokenIds = tokenIds;
    }

    /// <summary>The text; null when token ids were given.</summary>
    public string? Text { get; }

    /// <summary>The token ids; null when text was given.</summary>
    public IReadOnlyList<int>? TokenIds { get; }

    /// <summary>A prompt of text.</summary>
    public static Prompt FromText(string text) => new(text ?? throw new InvalidRequestException("prompt", "prompt is null"), null);

    /// <summary>A prompt of token ids.</summary>
    public static Prompt FromTokens(IReadOnlyList<int> tokenIds) =>
        new(null, tokenIds ?? throw new InvalidRequestException("prompt", "prompt is null"));

    /// <summary>A prompt of text.</summary>
    public static implicit operator Prompt(string text) => FromText(text);

    /// <summary>A prompt of token ids.</summary>
    public static implicit operator Prompt(int[] tokenIds) => FromTokens(tokenIds);
}
