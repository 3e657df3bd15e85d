using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Requests that change their logits, on the demo model, beside others that do not.</summary>
public sealed class LogitRuleTests(StopTests.DemoEngine demo) : IClassFixture<StopTests.DemoEngine>
{
    private const int Story = 1;
    private static readonly SamplingParams Greedy = new() { Temperature = 0, MaxTokens = 40, IgnoreEos = true };
    private static readonly SamplingParams Random = new() { MaxTokens = 40, IgnoreEos = true, Seed = 4 };

    private int Vocabulary => demo.Engine.Tokenizer!.VocabSize;

    [Fact]
    public async Task Only_allowed_tokens_are_sampled_and_neighbours_do_not_notice()
    {
        int[] plain = [.. (await demo.RunAsync(Story, Greedy)).Outputs[0].TokenIds];
        int[] allowed = [plain[3], plain[7], 31, 32, Vocabulary - 1];
        RequestOutput[] outputs = await demo.Engine.RunAllAsync(
        [
            (demo.Goldens[Story].PromptIds, Greedy),
            (demo.Goldens[Story].PromptIds, Random with { AllowedTokenIds = allowed }),
            (demo.Goldens[Story].PromptIds, Greedy with { AllowedTokenIds = [9] }),
        ]);
        Assert.Equal(plain, outputs[0].Outputs[0].TokenIds);
        Assert.All(outputs[1].Outputs[0].TokenIds, id => Assert.Contains(id, allowed));
        Assert.True(outputs[1].Outputs[0].TokenIds.Distinct().Count() > 1);
        Assert.All(outputs[2].Outputs[0].TokenIds, id => Assert.Equal(9, id));
    }

    [Fact]
    public async Task Bias_is_cut_to_its_range_and_does_not_lift_a_ban()
    {
        var forced = new Dictionary<int, float> { [77] = 1e9f };
        int[] biased = [.. (await demo.RunAsync(Story, Greedy with { LogitBias = forced })).Outputs[0].TokenIds];
        Assert.Equal(biased, (await demo.RunAsync(Story, Greedy with { LogitBias = new Dictionary<int, float> { [77] = 100 } })).Outputs[0].TokenIds);
        Assert.All(biased, id => Assert.Equal(77, id));
        Assert.All((await demo.RunAsync(Story, Greedy with { LogitBias = forced, AllowedTokenIds = [9] })).Outputs[0].TokenIds, id => Assert.Equal(9, id));
        int first = (await demo.RunAsync(Story, Greedy)).Outputs[0].TokenIds[0];
        // Cut to the same bias, the more likely of two is chosen.
        var two = new Dictionary<int, float> { [77] = 1e9f, [first] = 100 };
        Assert.Equal(first, (await demo.RunAsync(Story, Greedy with { LogitBias = two })).Outputs[0].TokenIds[0]);
        Assert.DoesNotContain(first, (await demo.RunAsync(Story, Greedy with { LogitBias = new Dictionary<int, float> { [first] = -100 } })).Outputs[0].TokenIds);
    }

    [Fact]
    public async Task Bad_words_do_not_appear_and_their_beginnings_may()
    {
        string text = (await demo.RunAsync(Story, Greedy)).Text;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(word => word.Length > 2).Distinct().Take(6))
        {
            CompletionOutput without = (await demo.RunAsync(Story, Greedy with { BadWords = [word] })).Outputs[0];
            Assert.Equal(40, without.TokenIds.Count);
            foreach (string spelled in new[] { word, " " + word })
            {
                int[] banned = demo.Engine.Tokenizer!.Encode(spelled, addSpecialTokens: false);
                Assert.False(Contains([.. without.TokenIds], banned), $"\"{spelled}\" stands in \"{without.Text}\"");
            }
        }
    }

    [Fact]
    public async Task Log_probabilities_are_those_before_or_after_the_changes()
    {
        using var processed = AsyncLlmEngine.Create(TestEngines.Demo with { LogprobsMode = LogprobsMode.Processed });
        SamplingParams only = Greedy with { AllowedTokenIds = [9], Logprobs = 1, MaxTokens = 3 };
        PositionLogprobs raw = (await demo.RunAsync(Story, only)).Outputs[0].Logprobs![0];
        PositionLogprobs changed = (await processed.RunAsync(demo.Goldens[Story].PromptIds, only)).Outputs[0].Logprobs![0];
        Assert.True(raw.Sampled.Logprob < -0.1 && raw.Sampled.Rank > 1 && raw.Top[0].TokenId != 9);
        Assert.Equal((0f, 1, 9), (changed.Sampled.Logprob, changed.Sampled.Rank, changed.Top[0].TokenId));
    }

    [Fact]
    public async Task A_repetition_ends_the_completion()
    {
        CompletionOutput ended = (await demo.RunAsync(Story, Greedy with
        {
            AllowedTokenIds = [9],
            RepetitionDetection = new RepetitionDetection { MaxPatternSize = 3, MinCount = 4 },
        })).Outputs[0];
        Assert.Equal((4, FinishReason.Repetition, (object)"repetition_detected"), (ended.TokenIds.Count, ended.FinishReason, ended.StopReason));
        CompletionOutput later = (await demo.RunAsync(Story, Greedy with
        {
            AllowedTokenIds = [9],
            MinTokens = 11,
            RepetitionDetection = new RepetitionDetection { MaxPatternSize = 3, MinCount = 4 },
        })).Outputs[0];
        Assert.Equal((11, FinishReason.Repetition), (later.TokenIds.Count, later.FinishReason));
    }

    [Fact]
    public async Task A_long_prompt_is_cut_on_its_left()
    {
        int[] prompt = demo.Goldens[Story].PromptIds;
        RequestOutput cut = await demo.RunAsync(Story, Greedy with { TruncatePromptTokens = 5 });
        Assert.Equal(prompt[^5..], cut.PromptTokenIds);
        Assert.Equal((await demo.Engine.RunAsync(prompt[^5..], Greedy)).Outputs[0].TokenIds, cut.Outputs[0].TokenIds);
        Assert.Equal(prompt, (await demo.RunAsync(Story, Greedy with { TruncatePromptTokens = -1 })).PromptTokenIds);
        int context = demo.Engine.Capabilities.MaxModelLen;
        int[] endless = [.. Enumerable.Range(0, context + 50).Select(i => 3 + (i % 90))];
        RequestOutput longest = await demo.Engine.RunAsync(endless, Greedy with { TruncatePromptTokens = -1, MaxTokens = 1 });
        Assert.Equal(endless[^(context - 1)..], longest.PromptTokenIds);
        string text = demo.Engine.Tokenizer!.Decode(prompt.AsSpan(0, 12));
        RequestOutput words = await demo.Engine.GenerateAsync(text, Greedy with { TruncatePromptTokens = 4 }).LastAsync();
        Assert.Equal(demo.Engine.Tokenizer!.Encode(text)[^4..], words.PromptTokenIds);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1 << 20)]
    public void Tokens_outside_the_vocabulary_are_refused(int id)
    {
        Refused(Greedy with { LogitBias = new Dictionary<int, float> { [id] = 1 } }, "logit_bias", $"logit_bias has {id}, expected 0..");
        Refused(Greedy with { AllowedTokenIds = [5, id] }, "allowed_token_ids", $"allowed_token_ids has {id}, expected 0..");
        Refused(Greedy with { TruncatePromptTokens = 1 << 20 }, "truncate_prompt_tokens", "truncate_prompt_tokens is 1048576, expected -1 or 1..");
    }

    [Fact]
    public void Bad_words_need_a_tokenizer()
    {
        using var tiny = AsyncLlmEngine.Create(TestEngines.Tiny);
        var error = Assert.Throws<InvalidRequestException>(() => tiny.GenerateAsync(new[] { 1, 2 }, Greedy with { BadWords = ["x"] }));
        Assert.Equal("bad_words", error.Parameter);
    }

    private void Refused(SamplingParams parameters, string parameter, string message)
    {
        var error = Assert.Throws<InvalidRequestException>(() => demo.Engine.GenerateAsync(demo.Goldens[Story].PromptIds, parameters));
        Assert.Equal(parameter, error.Parameter);
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
    }

    private static bool Contains(int[] tokens, int[] sequence) =>
        Enumerable.Range(0, Math.Max(0, tokens.Length - sequence.Length + 1)).Any(at => tokens.AsSpan(at, sequence.Length).SequenceEqual(sequence));
}
