using System.Text.Json;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization.Jinja;

/// <summary>Renders small templates.</summary>
internal static class TemplateRendering
{
    private static readonly JsonElement Data = JsonDocument.Parse("""
        {"n": 3, "f": 1.5, "big": 1e22, "s": "Hello World", "e": "", "t": true, "nil": null, "l": [3, 1, 2], "emoji": "a😀b",
         "d": {"b": 1, "a": {"x": [1, 2.0, "é\"<>\n"]}}, "users": [{"name": "Bo", "age": 3, "on": true}, {"name": "al", "age": 2, "on": false}, {"name": "Cy"}]}
        """).RootElement;

    public static string Render(string source, ChatTemplateInput? input = null) =>
        ChatTemplate.Parse(source).Render(input ?? Input(), TestContext.Current.CancellationToken);

    public static ChatTemplateInput Input() => new()
    {
        Messages = [ChatMessage.User("hi")],
        Variables = Data.EnumerateObject().ToDictionary(member => member.Name, member => member.Value),
        Now = new DateTimeOffset(2024, 7, 5, 9, 3, 1, TimeSpan.Zero),
        BosToken = "<s>",
    };
}
