using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Log-probabilities of prompts, and the scores made of them.</summary>
public sealed class PromptLogprobsTests
{
    private static readonly SamplingParams Greedy = new() { Temperature = 0, MaxTokens = 25, IgnoreEos = true, Logprobs = 3 };
    private static readonly SamplingParams Scored = Greedy with { PromptLogprobs = 3, MaxTokens = 2 };

    [Fact]
    public async Task A_prompt_is_scored_as_its_tokens_were_when_they_were_generated()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(1, 20);
        CompletionOutput generated = (await engine.RunAsync(prompt, Greedy)).Outputs[0];
        int[] all = [.. prompt, .. generated.TokenIds];
        RequestOutput scored = await engine.RunAsync(all, Scored);
        Assert.Equal(all.Length, scored.PromptLogprobs!.Count);
        Assert.Null(scored.PromptLogprobs[0]);
        Assert.Equal(all[1..], scored.PromptLogprobs.Skip(1).Select(position => position!.Sampled.TokenId));
        for (int i = 0; i < generated.TokenIds.Count; i++)
        {
            AssertClose(generated.Logprobs![i], scored.PromptLogprobs[prompt.Length + i]!);
        }

        Assert.Null((await engine.RunAsync(all, Greedy)).PromptLogprobs);
        Assert.Equal([null], (await engine.RunAsync([5], Scored)).PromptLogprobs!);
    }

    [Theory]
    [InlineData(2, 1536)]
    [InlineData(3, 30)]
    [InlineData(4, 60)]
    public async Task Chunks_of_few_logits_beside_others_and_under_pressure_give_the_same(int maxSeqs, int blocks)
    {
        using var wide = AsyncLlmEngine.Create(TestEngines.Tiny);
        using var narrow = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = maxSeqs, NumBlocksOverride = blocks });
        // Equal beginnings, so that the prefix cache has what the second could read.
        (int[], SamplingParams)[] requests = [.. Enumerable.Range(0, 8).Select(i =>
            ((int[])[.. TestEngines.Prompt(9, 48), .. TestEngines.Prompt(i, 1 + (i * 11))], i % 2 == 0 ? Scored with { MaxTokens = 30 } : Greedy with { MaxTokens = 40 }))];
        RequestOutput[] outputs = await narrow.RunAllAsync(requests);
        for (int i = 0; i < requests.Length; i++)
        {
            RequestOutput alone = await wide.RunAsync(requests[i].Item1, requests[i].Item2);
            Assert.Equal(alone.Outputs[0].TokenIds, outputs[i].Outputs[0].TokenIds);
            Assert.Equal(alone.PromptLogprobs?.Count, outputs[i].PromptLogprobs?.Count);
            for (int k = 1; k < alone.PromptLogprobs?.Count; k++)
            {
                AssertClose(alone.PromptLogprobs[k]!, outputs[i].PromptLogprobs![k]!);
            }
        }

        await narrow.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_scored_prompt_reads_no_cached_prefix_and_leaves_one()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(3, 100);
        Assert.Equal(0, (await engine.RunAsync(prompt, Scored)).CachedTokens);
        Assert.Equal(0, (await engine.RunAsync(prompt, Scored)).CachedTokens);
        Assert.Equal(96, (await engine.RunAsync(prompt, Greedy)).Usage.CachedTokens);
    }

    [Fact]
    public void Scores_and_perplexities_are_sums_of_log_probabilities()
    {
        // The same bits alone and together, on a GPU too.
        using var llm = new LLM(TestEngines.Demo with { Deterministic = true });
        const string prompt = "The fisherman's name was";
        string[] ends = [" Jörn", " Chloé", " of the"];
        IReadOnlyList<SequenceScore> scores = llm.Score(prompt, [.. ends.Select(Prompt.FromText)]);
        int[] start = llm.Tokenizer!.Encode(prompt);
        for (int i = 0; i < ends.Length; i++)
        {
            int[] end = llm.Tokenizer.Encode(ends[i], addSpecialTokens: false);
            RequestOutput whole = llm.Generate(Prompt.FromTokens([.. start, .. end]), new SamplingParams { Temperature = 0, MaxTokens = 1, PromptLogprobs = 0 });
            float[] expected = [.. whole.PromptLogprobs!.Skip(start.Length).Select(position => position!.Sampled.Logprob)];
            Assert.Equal(end, scores[i].TokenIds);
            Assert.Equal(expected, scores[i].TokenLogprobs);
            Assert.Equal(expected.Sum(logprob => (double)logprob), scores[i].Logprob, 9);
        }

        float[] text = [.. llm.Score(start[..1], [start[1..]])[0].TokenLogprobs];
        Assert.Equal(Math.Exp(-text.Average(logprob => (double)logprob)), llm.Perplexity(prompt), 9);
        Assert.True(llm.Perplexity(prompt) > 1);
        Assert.Equal("continuations", Assert.Throws<InvalidRequestException>(() => llm.Score(prompt, [""])).Parameter);
        Assert.Equal("prompt", Assert.Throws<InvalidRequestException>(() => llm.Perplexity(new[] { 5 })).Parameter);
    }

    private static void AssertClose(PositionLogprobs expected, PositionLogprobs actual)
    {
        Assert.Equal(expected.Sampled.TokenId, actual.Sampled.TokenId);
        Assert.Equal(expected.Sampled.Logprob, actual.Sampled.Logprob, 1e-4);
        Assert.Equal(expected.Top.Select(top => top.TokenId), actual.Top.Select(top => top.TokenId));
        Assert.All(expected.Top.Zip(actual.Top), pair => Assert.Equal(pair.First.Logprob, pair.Second.Logprob, 1e-4));
    }
}
