using System.Text.Json;

namespace VllmNative.Tokenization;

/// <summary>A function call in an assistant message.</summary>
/// <param name="Name">The function.</param>
/// <param name="Arguments">Its arguments: a JSON object, or a JSON string that holds one.</param>
/// <param name="Id">The id that the answering tool message refers to.</param>
public sealed record ChatToolCall(string Name, JsonElement Arguments, string? Id = null);
