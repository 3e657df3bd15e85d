using System.Text.Json;

namespace VllmNative.Tokenization;

/// <summary>What a chat template is rendered with.</summary>
public sealed record ChatTemplateInput
{
    /// <summary>The conversation, oldest first.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>A JSON array of function definitions.</summary>
    public JsonElement? Tools { get; init; }

    /// <summary>Ends with the beginning of an assistant message.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>Further variables of the template, such as <c>enable_thinking</c>.</summary>
    public IReadOnlyDictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>The variable <c>bos_token</c>.</summary>
    public string? BosToken { get; init; }

    /// <summary>The variable <c>eos_token</c>.</summary>
    public string? EosToken { get; init; }

    /// <summary>The variable <c>pad_token</c>.</summary>
    public string? PadToken { get; init; }

    /// <summary>The variable <c>unk_token</c>.</summary>
    public string? UnknownToken { get; init; }

    /// <summary>What <c>strftime_now</c> takes for now; null for the local clock.</summary>
    public DateTimeOffset? Now { get; init; }
}
