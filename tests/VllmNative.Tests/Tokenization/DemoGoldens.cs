using System.Text.Json;
using VllmNative.Tokenization;

namespace VllmNative.Tests.Tokenization;

/// <summary>The demo model's tokenizer, and its conversations with what the reference implementation made of them.</summary>
internal static class DemoGoldens
{
    private static readonly Lazy<JsonDocument> Document = new(
        () => JsonDocument.Parse(File.ReadAllBytes(TestAssets.Path("goldens", "demo-greedy.json"))));

    public static Tokenizer Tokenizer { get; } = Tokenizer.FromDirectory(TestAssets.Path("models", "demo"));

    public static JsonElement[] Rows => [.. Document.Value.RootElement.EnumerateArray()];

    public static IReadOnlyList<ChatMessage> Messages(JsonElement row) => ChatMessage.ListFromJson(row.GetProperty("messages"));

    public static JsonElement? Tools(JsonElement row) =>
        row.GetProperty("tools") is { ValueKind: JsonValueKind.Array } tools ? tools : null;

    public static int[] Ids(JsonElement row, string name) => [.. row.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];
}
