using System.Text.Json;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Beam searches on the demo model against those of transformers, which tests/gpu/beam_goldens.py writes down.</summary>
public sealed class BeamGoldenTests
{
    private const string File = "demo-beams.json";

    [Fact]
    public void Float32_finds_the_sequences_of_the_reference_in_its_order()
    {
        string path = TestAssets.Path("goldens", File);
        Assert.SkipUnless(System.IO.File.Exists(path), $"{File} is not there: tests/gpu/beam_goldens.py writes it where torch and transformers are");
        int[][] prompts = [.. DemoGolden.Load("demo-greedy.json").Select(golden => golden.PromptIds)];
        using JsonDocument document = JsonDocument.Parse(System.IO.File.ReadAllText(path));
        using var llm = new LLM(new EngineOptions { Model = TestAssets.Path("models", "demo"), Device = TestDevice.Kind, Dtype = ModelDtype.Float32, KvCacheMemoryBytes = 64 << 20 });
        JsonElement[] searches = [.. document.RootElement.EnumerateArray()];
        IReadOnlyList<RequestOutput> found = llm.Generate(
            [.. searches.Select(search => Prompt.FromTokens(prompts[search.GetProperty("prompt").GetInt32()]))],
            [.. searches.Select(ParametersOf)]);
        for (int i = 0; i < searches.Length; i++)
        {
            JsonElement[] expected = [.. searches[i].GetProperty("outputs").EnumerateArray()];
            Assert.Equal(expected.Select(output => output.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())), found[i].Outputs.Select(output => output.TokenIds));
            for (int k = 0; k < expected.Length; k++)
            {
                Assert.Equal(expected[k].GetProperty("score").GetDouble(), found[i].Outputs[k].Score!.Value, 1e-3);
            }
        }

        Assert.True(searches.Length >= 40, $"only {searches.Length} searches");
    }

    private static SamplingParams ParametersOf(JsonElement search) => SamplingParams.Greedy with
    {
        UseBeamSearch = true,
        N = search.GetProperty("width").GetInt32(),
        LengthPenalty = search.GetProperty("length_penalty").GetDouble(),
        EarlyStopping = Enum.Parse<EarlyStopping>(search.GetProperty("early_stopping").GetString()!, ignoreCase: true),
        MaxTokens = search.GetProperty("max_tokens").GetInt32(),
    };
}
