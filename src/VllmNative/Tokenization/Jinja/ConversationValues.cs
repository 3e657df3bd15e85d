using System.Text.Json;

namespace VllmNative.Tokenization.Jinja;

/// <summary>
/// The variables that a conversation gives a template. What the request brings is marked; well-known roles are not,
/// because templates build control tokens out of them.
/// </summary>
internal static class ConversationValues
{
    private static readonly HashSet<string> KnownRoles = new(
        ["system", "developer", "user", "assistant", "tool", "function", "ipython", "observation"], StringComparer.Ordinal);

    public static Scope ToScope(ChatTemplateInput input)
    {
        Scope scope = new(null);
        foreach ((string name, JsonElement value) in input.Variables ?? new Dictionary<string, JsonElement>())
        {
            scope.Set(name, JsonText.Read(value));
        }

        scope.Set("messages", new JinjaList([.. input.Messages.Select(Message)]));
        scope.Set("tools", input.Tools is { ValueKind: not JsonValueKind.Undefined } tools ? JsonText.Read(tools) : JinjaNone.Instance);
        if (input.Variables?.ContainsKey("documents") != true)
        {
            scope.Set("documents", JinjaNone.Instance);
        }

        scope.Set("add_generation_prompt", JinjaBool.Of(input.AddGenerationPrompt));
        SetToken(scope, "bos_token", input.BosToken);
        SetToken(scope, "eos_token", input.EosToken);
        SetToken(scope, "pad_token", input.PadToken);
        SetToken(scope, "unk_token", input.UnknownToken);
        return scope;
    }

    private static void SetToken(Scope scope, string name, string? token)
    {
        if (token is not null)
        {
            scope.Set(name, new JinjaString(token));
        }
    }

    private static JinjaDict Message(ChatMessage message)
    {
        JinjaDict dict = new();
        dict.Set("role", KnownRoles.Contains(message.Role) ? new JinjaString(message.Role) : JinjaString.Marked(message.Role));
        dict.Set("content", Text(message.Content));
        if (message.ToolCalls is { Count: > 0 } calls)
        {
            dict.Set("tool_calls", new JinjaList([.. calls.Select(Call)]));
        }

        if (message.ToolCallId is not null)
        {
            dict.Set("tool_call_id", Text(message.ToolCallId));
        }

        if (message.Name is not null)
        {
            dict.Set("name", Text(message.Name));
        }

        foreach ((string name, JsonElement value) in message.Extra ?? new Dictionary<string, JsonElement>())
        {
            dict.Set(JinjaString.Marked(name), JsonText.Read(value));
        }

        return dict;
    }

    private static JinjaDict Call(ChatToolCall call)
    {
        JinjaDict function = new();
        function.Set("name", Text(call.Name));
        function.Set("arguments", JsonText.Read(call.Arguments));
        JinjaDict dict = new();
        dict.Set("type", new JinjaString("function"));
        if (call.Id is not null)
        {
            dict.Set("id", Text(call.Id));
        }

        dict.Set("function", function);
        return dict;
    }

    private static JinjaValue Text(string? text) => text is null ? JinjaNone.Instance : JinjaString.Marked(text);
}
