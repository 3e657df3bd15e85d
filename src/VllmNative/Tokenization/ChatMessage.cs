using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization;

/// <summary>One message of a conversation.</summary>
public sealed record ChatMessage
{
    /// <summary><c>system</c>, <c>user</c>, <c>assistant</c>, <c>tool</c> or what else the template knows.</summary>
    public required string Role { get; init; }

    /// <summary>The text; null where there is none.</summary>
    public string? Content { get; init; }

    /// <summary>The function calls of an assistant message.</summary>
    public IReadOnlyList<ChatToolCall>? ToolCalls { get; init; }

    /// <summary>In a tool message, the call that it answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>Name of the author or of the tool.</summary>
    public string? Name { get; init; }

    /// <summary>Further members for the template; <c>content</c> here stands for content that is a list of parts.</summary>
    public IReadOnlyDictionary<string, JsonElement>? Extra { get; init; }

    /// <summary>A message of the operator.</summary>
    public static ChatMessage System(string content) => new() { Role = "system", Content = content };

    /// <summary>A message of the user.</summary>
    public static ChatMessage User(string content) => new() { Role = "user", Content = content };

    /// <summary>A message of the model.</summary>
    public static ChatMessage Assistant(string? content, IReadOnlyList<ChatToolCall>? toolCalls = null) =>
        new() { Role = "assistant", Content = content, ToolCalls = toolCalls };

    /// <summary>The result of a function call.</summary>
    public static ChatMessage Tool(string content, string? toolCallId = null, string? name = null) =>
        new() { Role = "tool", Content = content, ToolCallId = toolCallId, Name = name };

    /// <summary>Reads a JSON array of messages, as chat APIs have them.</summary>
    /// <exception cref="InvalidRequestException">The JSON is not a list of messages; the error names the member.</exception>
    public static IReadOnlyList<ChatMessage> ListFromJson(JsonElement messages)
    {
        Require(messages.ValueKind == JsonValueKind.Array, "messages", $"expected an array, found {messages.ValueKind}");
        List<ChatMessage> list = [];
        foreach (JsonElement message in messages.EnumerateArray())
        {
            list.Add(FromJson(message, $"messages[{list.Count}]"));
        }

        return list;
    }

    private static ChatMessage FromJson(JsonElement json, string path)
    {
        Require(json.ValueKind == JsonValueKind.Object, path, $"expected an object, found {json.ValueKind}");
        ChatMessage message = new() { Role = Text(json, "role", path) ?? throw Missing(path, "role") };
        Dictionary<string, JsonElement> extra = new(StringComparer.Ordinal);
        foreach (JsonProperty member in json.EnumerateObject())
        {
            bool isText = member.Value.ValueKind is JsonValueKind.String or JsonValueKind.Null;
            switch (member.Name)
            {
                case "role":
                    break;
                case "content" when isText:
                    message = message with { Content = Text(json, "content", path) };
                    break;
                case "name":
                    message = message with { Name = Text(json, "name", path) };
                    break;
                case "tool_call_id":
                    message = message with { ToolCallId = Text(json, "tool_call_id", path) };
                    break;
                case "tool_calls" when member.Value.ValueKind == JsonValueKind.Null:
                    break;
                case "tool_calls":
                    message = message with { ToolCalls = ReadCalls(member.Value, $"{path}.tool_calls") };
                    break;
                default:
                    extra[member.Name] = member.Value.Clone();
                    break;
            }
        }

        return extra.Count > 0 ? message with { Extra = extra } : message;
    }

    private static List<ChatToolCall> ReadCalls(JsonElement json, string path)
    {
        Require(json.ValueKind == JsonValueKind.Array, path, $"expected an array, found {json.ValueKind}");
        List<ChatToolCall> calls = [];
        foreach (JsonElement call in json.EnumerateArray())
        {
            string at = $"{path}[{calls.Count}]";
            Require(call.ValueKind == JsonValueKind.Object, at, $"expected an object, found {call.ValueKind}");
            JsonElement function = call.TryGetProperty("function", out JsonElement nested) ? nested : call;
            Require(function.ValueKind == JsonValueKind.Object, $"{at}.function", $"expected an object, found {function.ValueKind}");
            string name = Text(function, "name", at) ?? throw Missing(at, "name");
            if (!function.TryGetProperty("arguments", out JsonElement arguments))
            {
                throw Missing(at, "arguments");
            }

            calls.Add(new ChatToolCall(name, arguments.Clone(), Text(call, "id", at)));
        }

        return calls;
    }

    private static string? Text(JsonElement json, string name, string path)
    {
        if (!json.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        Require(value.ValueKind == JsonValueKind.String, $"{path}.{name}", $"expected a string, found {value.ValueKind}");
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            throw new InvalidRequestException($"{path}.{name}", $"{path}.{name} holds half a surrogate pair");
        }
    }

    private static void Require(bool condition, string parameter, string message)
    {
        if (!condition)
        {
            throw new InvalidRequestException(parameter, $"{parameter}: {message}");
        }
    }

    private static InvalidRequestException Missing(string path, string name) => new($"{path}.{name}", $"{path}.{name} is missing");
}
