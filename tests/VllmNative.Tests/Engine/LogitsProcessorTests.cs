using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Callers' code that changes logits: what it sees, where it stands, and that only its own request notices.</summary>
public sealed class LogitsProcessorTests
{
    private static readonly SamplingParams Greedy = new() { Temperature = 0, MaxTokens = 24, IgnoreEos = true, Logprobs = 2 };
    private static readonly SamplingParams Random = Greedy with { Temperature = 1.2f, Seed = 40 };

    private static EngineOptions Options => TestEngines.Tiny with { Deterministic = true };

    [Fact]
    public async Task It_forces_and_bans_tokens_and_neighbours_do_not_notice()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        (int[], SamplingParams)[] plain = [.. Enumerable.Range(0, 4).Select(i => (TestEngines.Prompt(i, 5 + (i * 9)), i % 2 == 0 ? Greedy : Random))];
        RequestOutput[] alone = await engine.RunAllAsync(plain);
        int banned = alone[0].Outputs[0].TokenIds[0];
        engine.Hold(50);
        RequestOutput[] outputs = await engine.RunAllAsync(
        [
            .. plain,
            (plain[0].Item1, Greedy with { LogitsProcessors = [new Changing((_, output, logits) => Force(logits, 100 + output.Length))] }),
            (plain[0].Item1, Random with { LogitsProcessors = [new Changing((_, _, logits) => logits[banned] = float.NegativeInfinity)], MaxTokens = 100 }),
        ]);
        for (int i = 0; i < plain.Length; i++)
        {
            Assert.Equal(alone[i].Describe(), outputs[i].Describe());
        }

        Assert.Equal(Enumerable.Range(100, 24), outputs[4].Outputs[0].TokenIds);
        Assert.DoesNotContain(banned, outputs[5].Outputs[0].TokenIds);
        Assert.Equal((100, FinishReason.Length), (outputs[5].Outputs[0].TokenIds.Count, outputs[5].Outputs[0].FinishReason));
    }

    [Theory]
    [InlineData(64, 513)]
    [InlineData(4, 12)]
    public async Task It_sees_prompt_and_output_once_for_each_token_whatever_happens_to_the_request(int maxSeqs, int blocks)
    {
        using var engine = AsyncLlmEngine.Create(Options with { MaxNumSeqs = maxSeqs, NumBlocksOverride = blocks });
        List<int>[] calls = [.. Enumerable.Range(0, 6).Select(_ => new List<int>())];
        (int[], SamplingParams)[] requests = [.. Enumerable.Range(0, 6).Select(i =>
        {
            int[] prompt = [.. TestEngines.Prompt(99, 32), .. TestEngines.Prompt(i, 1 + (i * 5))];
            // The next token is told by the last two.
            var next = new Changing((seen, output, logits) =>
            {
                Assert.Equal(prompt, seen.ToArray());
                calls[i].Add(output.Length);
                Force(logits, Next(seen, output));
            });
            return (prompt, Greedy with { MaxTokens = 60, LogitsProcessors = [next] });
        })];
        RequestOutput[] outputs = await engine.RunAllAsync(requests);
        // Once more, with the prefix in the cache.
        RequestOutput again = await engine.RunAsync(requests[5].Item1, requests[5].Item2);
        for (int i = 0; i < 6; i++)
        {
            List<int> expected = [];
            for (int k = 0; k < 60; k++)
            {
                expected.Add(Next(requests[i].Item1, [.. expected]));
            }

            Assert.Null(outputs[i].Error);
            Assert.Equal(expected, outputs[i].Outputs[0].TokenIds);
            Assert.Equal(i == 5 ? Enumerable.Range(0, 60).Concat(Enumerable.Range(0, 60)) : Enumerable.Range(0, 60), calls[i]);
        }

        Assert.Equal(outputs[5].Outputs[0].TokenIds, again.Outputs[0].TokenIds);
        Assert.Equal(blocks < 100, engine.Core.Preemptions > 0);
        Assert.True(blocks < 100 || again.CachedTokens > 0, "the prefix was not found");
        await engine.AssertAllFreeAsync();
    }

    [Theory]
    [InlineData("throw", "logits processor Changing failed: no more of this")]
    [InlineData("nan", "logits processor Changing left NaN or +infinity among the logits")]
    [InlineData("infinity", "logits processor Changing left NaN or +infinity among the logits")]
    [InlineData("nothing", "logits processor Changing left no token that may be sampled")]
    public async Task A_failure_is_its_own_requests_error(string how, string message)
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(1, 40);
        string[] alone = [.. (await engine.RunAllAsync([(prompt, Greedy), (prompt, Random)])).Select(output => output.Describe())];
        for (int at = 0; at < 3; at++)
        {
            // Among the first, the last, and the others of the row.
            int position = at * 767;
            var failing = new Changing((_, output, logits) =>
            {
                if (output.Length == 5 + at)
                {
                    switch (how)
                    {
                        case "throw":
                            throw new InvalidOperationException("no more\nof this");
                        case "nan":
                            logits[position] = float.NaN;
                            break;
                        case "infinity":
                            logits[position] = float.PositiveInfinity;
                            break;
                        default:
                            logits.Fill(float.NegativeInfinity);
                            break;
                    }
                }
            });
            engine.Hold(30);
            RequestOutput[] outputs = await engine.RunAllAsync([(prompt, Greedy), (prompt, Greedy with { LogitsProcessors = [failing] }), (prompt, Random)]);
            Assert.Equal((FinishReason.Error, message, 5 + at), (outputs[1].Outputs[0].FinishReason, outputs[1].Error, outputs[1].Outputs[0].TokenIds.Count));
            Assert.Equal(outputs[0].Outputs[0].TokenIds.Take(5 + at), outputs[1].Outputs[0].TokenIds);
            Assert.Equal(alone, new[] { outputs[0].Describe(), outputs[2].Describe() });
        }

        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Logits_that_the_model_got_wrong_are_not_the_processors_fault()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        engine.Device.Inject("gemm", 1, "nan_row", 3);
        RequestOutput output = await engine.RunAsync(TestEngines.Prompt(1, 4), Greedy with { LogitsProcessors = [new Changing((_, _, logits) => Force(logits, 3))] });
        Assert.Equal("the model's logits are not numbers (NaN)", output.Error);
    }

    [Fact]
    public async Task It_stands_behind_bans_and_bias_and_before_penalties()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(2, 9);
        float[] raw = [];
        float[] seen = [];
        await engine.RunAsync(prompt, Greedy with { MaxTokens = 1, LogitsProcessors = [new Changing((_, _, logits) => raw = logits.ToArray())] });
        SamplingParams ruled = Greedy with
        {
            MaxTokens = 6,
            MinTokens = 5,
            StopTokenIds = [50],
            LogitBias = new Dictionary<int, float> { [60] = 7 },
            // Both would win without the penalty of what was generated.
            LogitsProcessors = [new Changing((_, output, logits) => seen = output.Length == 0 ? logits.ToArray() : seen), new Changing((_, _, logits) => (logits[70], logits[71]) = (90, 89.5f))],
            FrequencyPenalty = 1,
        };
        RequestOutput output = await engine.RunAsync(prompt, ruled);
        Assert.Equal((float.NegativeInfinity, raw[60] + 7, raw[51]), (seen[50], seen[60], seen[51]));
        Assert.Equal([70, 71, 70, 71, 70, 71], output.Outputs[0].TokenIds);

        // In the order in which they are given.
        RequestOutput last = await engine.RunAsync(prompt, Greedy with
        {
            LogitsProcessors = [new Changing((_, _, logits) => Force(logits, 7)), new Changing((_, _, logits) => (logits[8], logits[7]) = (logits[7], logits[8]))],
        });
        Assert.All(last.Outputs[0].TokenIds, id => Assert.Equal(8, id));
    }

    [Fact]
    public async Task Raw_log_probabilities_are_of_the_untouched_logits_and_processed_ones_of_the_changed()
    {
        int[] prompt = TestEngines.Prompt(2, 30);
        using var raw = AsyncLlmEngine.Create(Options);
        using var processed = AsyncLlmEngine.Create(Options with { LogprobsMode = LogprobsMode.Processed });
        SamplingParams forced = Greedy with { MaxTokens = 1, LogitsProcessors = [new Changing((_, _, logits) => Force(logits, 9))] };
        PositionLogprobs plain = (await raw.RunAsync(prompt, Greedy with { MaxTokens = 1, Logprobs = 2 })).Outputs[0].Logprobs![0];
        PositionLogprobs untouched = (await raw.RunAsync(prompt, forced)).Outputs[0].Logprobs![0];
        PositionLogprobs changed = (await processed.RunAsync(prompt, forced)).Outputs[0].Logprobs![0];
        Assert.Equal(plain.Top, untouched.Top);
        Assert.True(untouched.Sampled.TokenId == 9 && untouched.Sampled.Rank > 1 && untouched.Sampled.Logprob < plain.Sampled.Logprob);
        Assert.Equal((9, 0f, 1), (changed.Sampled.TokenId, changed.Sampled.Logprob, changed.Sampled.Rank));
    }

    [Fact]
    public async Task Each_completion_of_a_group_is_processed_by_its_own_output()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(2, 37);
        // What was generated before is not generated again.
        var fresh = new Changing((_, output, logits) =>
        {
            foreach (int id in output)
            {
                logits[id] = float.NegativeInfinity;
            }
        });
        SamplingParams few = Random with { AllowedTokenIds = [.. Enumerable.Range(10, 24)], LogitsProcessors = [fresh] };
        RequestOutput group = await engine.RunAsync(prompt, few with { N = 4 });
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(Enumerable.Range(10, 24), group.Outputs[i].TokenIds.Order());
            Assert.Equal((await engine.RunAsync(prompt, few with { Seed = 40 + i })).Outputs[0].TokenIds, group.Outputs[i].TokenIds);
        }

        Assert.Equal(4, group.Outputs.Select(output => string.Join(' ', output.TokenIds)).Distinct().Count());
    }

    private static int Next(ReadOnlySpan<int> prompt, ReadOnlySpan<int> output) =>
        ((output.Length > 0 ? output[^1] : prompt[^1]) * 7 + (output.Length > 1 ? output[^2] : prompt[0]) + output.Length) % 1536;

    private static void Force(Span<float> logits, int id)
    {
        logits.Fill(float.NegativeInfinity);
        logits[id] = 1;
    }

    private delegate void Change(ReadOnlySpan<int> prompt, ReadOnlySpan<int> output, Span<float> logits);

    private sealed class Changing(Change change) : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits) => change(promptTokens, outputTokens, logits);
    }
}
