using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>The demo models against the float32 reference.</summary>
public sealed class DemoGoldenTests
{
    [Theory]
    [InlineData("demo", "demo-greedy.json")]
    [InlineData("demo-draft", "demo-draft-greedy.json")]
    public void Float32_FollowsTheReferenceWhereverItsGapIsClear(string model, string golden)
    {
        DemoGolden[] goldens = DemoGolden.Load(golden);
        using var llm = new LLM(new EngineOptions { Model = TestAssets.Path("models", model), Device = TestDevice.Kind, Dtype = ModelDtype.Float32, KvCacheMemoryBytes = 64 << 20 });
        int compared = 0;
        for (int i = 0; i < goldens.Length; i++)
        {
            DemoGolden expected = goldens[i];
            RequestOutput output = llm.Generate(expected.PromptIds, new SamplingParams { Temperature = 0, MaxTokens = expected.OutputIds.Length, Logprobs = 5 });
            CompletionOutput completion = output.Outputs[0];
            if (expected.MinGap > 0.0005f)
            {
                Assert.Equal(expected.OutputIds, completion.TokenIds);
            }

            for (int step = 0; step < completion.TokenIds.Count && completion.TokenIds[step] == expected.OutputIds[step]; step++)
            {
                PositionLogprobs logprobs = completion.Logprobs![step];
                foreach ((int id, float logprob) in expected.Top[step])
                {
                    TokenLogprob found = logprobs.Top.Single(top => top.TokenId == id);
                    Assert.True(MathF.Abs(found.Logprob - logprob) <= 0.002f, $"prompt {i} step {step} token {id}: {found.Logprob}, expected {logprob}");
                    compared++;
                }
            }
        }

        Assert.True(compared > 1000, $"only {compared} log-probabilities were compared");
    }
}
