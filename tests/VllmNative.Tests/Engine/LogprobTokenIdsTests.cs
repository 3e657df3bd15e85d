using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Log-probabilities of tokens that a request names.</summary>
public sealed class LogprobTokenIdsTests
{
    private const double Tolerance = 5e-6;
    private static readonly SamplingParams Greedy = new() { Temperature = 0, MaxTokens = 12, IgnoreEos = true };
    private static readonly int[] Named = [700, 3, 1535, 3, 0];

    private static EngineOptions Options => TestEngines.Tiny with { Deterministic = true };

    [Fact]
    public async Task They_are_what_scoring_each_continuation_gives()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(1, 20);
        CompletionOutput output = (await engine.RunAsync(prompt, Greedy with { LogprobTokenIds = Named })).Outputs[0];
        Assert.Equal(12, output.Logprobs!.Count);
        for (int position = 0; position < 12; position += 5)
        {
            PositionLogprobs logprobs = output.Logprobs[position];
            Assert.Empty(logprobs.Top);
            Assert.Equal((output.TokenIds[position], 1), (logprobs.Sampled.TokenId, logprobs.Sampled.Rank));
            Assert.Equal(Named, logprobs.Requested.Select(token => token.TokenId));
            foreach (TokenLogprob named in logprobs.Requested)
            {
                int[] continued = [.. prompt, .. output.TokenIds.Take(position), named.TokenId];
                RequestOutput scored = await engine.RunAsync(continued, Greedy with { PromptLogprobs = 0, MaxTokens = 1 });
                Assert.Equal(scored.PromptLogprobs![^1]!.Sampled.Logprob, named.Logprob, Tolerance);
                Assert.Equal(0, named.Rank);
            }
        }
    }

    [Theory]
    [InlineData(64, 513, 2048)]
    [InlineData(3, 9, 7)]
    public async Task They_agree_with_the_most_likely_ones_beside_others_that_ask_for_none(int maxSeqs, int blocks, int budget)
    {
        using var engine = AsyncLlmEngine.Create(Options with { MaxNumSeqs = maxSeqs, NumBlocksOverride = blocks, MaxNumBatchedTokens = budget });
        SamplingParams best = Greedy with { MaxTokens = 30, Temperature = 1, FrequencyPenalty = 0.5f };
        int[][] prompts = [.. Enumerable.Range(0, 8).Select(i => TestEngines.Prompt(i, 3 + (i * 11)))];
        RequestOutput[] tops = await engine.RunAllAsync(prompts.Select((prompt, i) => (prompt, best with { Seed = i, Logprobs = 20, PromptLogprobs = 20 })));
        RequestOutput[] outputs = await engine.RunAllAsync(prompts.Select((prompt, i) => (prompt, (i % 4) switch
        {
            0 => best with { Seed = i },
            1 => best with { Seed = i, LogprobTokenIds = Ids(tops[i]), Logprobs = 1 },
            2 => best with { Seed = i, LogprobTokenIds = Ids(tops[i]), PromptLogprobTokenIds = [.. Ids(tops[i]).Reverse()] },
            _ => best with { Seed = i, PromptLogprobTokenIds = Ids(tops[i]) },
        })));
        int compared = 0;
        for (int i = 0; i < prompts.Length; i++)
        {
            Assert.Null(outputs[i].Error);
            Assert.Equal(tops[i].Outputs[0].TokenIds, outputs[i].Outputs[0].TokenIds);
            Assert.Equal(i % 4 is 1 or 2, outputs[i].Outputs[0].Logprobs is not null);
            Assert.Equal(i % 4 is 2 or 3, outputs[i].PromptLogprobs is not null);
            compared += Compare(tops[i].Outputs[0].Logprobs!, outputs[i].Outputs[0].Logprobs ?? []);
            compared += Compare(tops[i].PromptLogprobs!, outputs[i].PromptLogprobs ?? []);
        }

        Assert.True(compared > 200, $"{compared} were compared");
        Assert.Equal(blocks < 100, engine.Core.Preemptions > 0);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Each_completion_has_its_own_and_the_sampled_one_is_among_them_to_the_bit()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(3, 20);
        int[] allowed = [10, 20, 30];
        RequestOutput group = await engine.RunAsync(prompt, Greedy with { Temperature = 1, N = 3, Seed = 5, AllowedTokenIds = allowed, LogprobTokenIds = allowed });
        foreach (CompletionOutput output in group.Outputs)
        {
            Assert.All(output.Logprobs!, position =>
                Assert.Equal(position.Sampled.Logprob, position.Requested.Single(named => named.TokenId == position.Sampled.TokenId).Logprob));
            Assert.Equal(12, output.Logprobs!.Count);
        }
    }

    [Fact]
    public async Task Processed_ones_are_of_the_changed_logits()
    {
        using var engine = AsyncLlmEngine.Create(Options with { LogprobsMode = LogprobsMode.Processed });
        SamplingParams one = Greedy with { AllowedTokenIds = [9], LogprobTokenIds = [8, 9], MaxTokens = 2 };
        RequestOutput output = await engine.RunAsync(TestEngines.Prompt(3, 20), one);
        Assert.All(output.Outputs[0].Logprobs!, position => Assert.Equal([float.NegativeInfinity, 0], position.Requested.Select(named => named.Logprob)));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1536)]
    public void Tokens_outside_the_vocabulary_are_refused(int id)
    {
        using var engine = AsyncLlmEngine.Create(Options);
        foreach ((string parameter, SamplingParams bad) in new[]
        {
            ("logprob_token_ids", Greedy with { LogprobTokenIds = [1, id] }),
            ("prompt_logprob_token_ids", Greedy with { PromptLogprobTokenIds = [1, id] }),
        })
        {
            var error = Assert.Throws<InvalidRequestException>(() => engine.GenerateAsync(new[] { 1, 2 }, bad));
            Assert.Equal((parameter, $"{parameter} has {id}, expected 0..1535 (the vocabulary)"), (error.Parameter, error.Message));
        }
    }

    // Of all positions, the most likely three, and so at most 90 different ids.
    private static int[] Ids(RequestOutput output) =>
        [.. output.Outputs[0].Logprobs!.SelectMany(position => position.Top.Take(3)).Select(token => token.TokenId).Distinct()];

    private static int Compare(IReadOnlyList<PositionLogprobs?> tops, IReadOnlyList<PositionLogprobs?> named)
    {
        int compared = 0;
        for (int position = 0; position < named.Count; position++)
        {
            Assert.Equal(tops[position] is null, named[position] is null);
            foreach (TokenLogprob top in tops[position]?.Top ?? [])
            {
                foreach (TokenLogprob same in named[position]!.Requested.Where(token => token.TokenId == top.TokenId))
                {
                    Assert.Equal(top.Logprob, same.Logprob, Tolerance);
                    compared++;
                }
            }
        }

        return compared;
    }
}
