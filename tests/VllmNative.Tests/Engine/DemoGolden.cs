using System.Text.Json;

namespace VllmNative.Tests.Engine;

/// <summary>One conversation of a golden file: what a float32 reference generated greedily, and its log-probabilities.</summary>
internal sealed record DemoGolden(int[] PromptIds, int[] OutputIds, (int Id, float Logprob)[][] Top, float MinGap, string Output)
{
    internal static DemoGolden[] Load(string name)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(TestAssets.Path("goldens", name)));
        return [.. document.RootElement.EnumerateArray().Select(Read)];
    }

    private static DemoGolden Read(JsonElement item) => new(
        [.. item.GetProperty("prompt_ids").EnumerateArray().Select(id => id.GetInt32())],
        [.. item.GetProperty("output_ids").EnumerateArray().Select(id => id.GetInt32())],
        [.. item.GetProperty("top_logprobs").EnumerateArray().Select(step => step.EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetSingle())).ToArray())],
        item.GetProperty("min_gap").GetSingle(),
        item.GetProperty("output").GetString()!);
}
