using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Loading;
using Xunit;
using Xunit.Sdk;

namespace VllmNative.Tests.Engine;

/// <summary>
/// Every parameter with every other one, all pairs in one engine at once, in several situations: each request is what it is alone,
/// to the bit, each parameter holds, plain requests among them notice nothing, and no block is lost.
/// </summary>
public sealed class ParameterPairTests(ParameterPairTests.SpeakingTiny model) : IClassFixture<ParameterPairTests.SpeakingTiny>
{
    private const int CanaryEach = 16;

    public static TheoryData<string> Situations => ["together", "chunks", "recompute", "swap", "prefix hits", "priority", "fair", "static"];

    [Theory]
    [MemberData(nameof(Situations))]
    public async Task Every_pair_is_what_it_is_alone(string situation)
    {
        EngineOptions options = model.Options;
        EngineOptions pressed = options with { NumBlocksOverride = 31, PreemptionMode = PreemptionMode.Recompute };
        bool hits = situation == "prefix hits";
        using var engine = AsyncLlmEngine.Create(situation switch
        {
            "together" => options,
            "chunks" => options with { LongPrefillTokenThreshold = 5, MaxNumBatchedTokens = 64, MaxNumSeqs = 48 },
            "recompute" => pressed,
            "swap" => pressed with { PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.01 },
            "prefix hits" => options with { EnablePrefixCaching = true },
            "priority" => pressed with { SchedulingPolicy = "priority", EnablePrefixCaching = true },
            "fair" => options with { SchedulingPolicy = "fair", MaxNumSeqs = 16 },
            "static" => options with { Scheduler = "static", MaxModelLen = 96 },
            _ => throw new ArgumentOutOfRangeException(nameof(situation), situation, "no such situation"),
        });
        // A static batch refuses beams.
        ParameterPair[] pairs = [.. ParameterPair.Accepted.Where(pair => situation != "static" || !pair.Sampling.UseBeamSearch)];
        for (int round = 0; round < (hits ? 2 : 1); round++)
        {
            List<string> failures = await RunAllAsync(engine, pairs, expectHits: hits && round == 1);
            Assert.True(failures.Count == 0, $"{failures.Count} failures:\n{string.Join('\n', failures.Take(12))}");
            await AssertNothingLeaksAsync(engine);
        }

        Assert.Equal(situation is "recompute" or "swap" or "priority", engine.Memory.Preemptions > 0);
        Assert.Equal(situation == "swap", engine.Core.SwapOuts > 0);
    }

    [Fact]
    public async Task Requests_that_run_out_of_time_have_a_part_of_what_they_would_get()
    {
        using var engine = AsyncLlmEngine.Create(model.Options with { RequestTimeout = TimeSpan.FromMilliseconds(800), MaxNumSeqs = 64 });
        engine.Device.Inject("embedding", 9, "delay_ms", 1000);
        ParameterOutcome[] outcomes = await Task.WhenAll(ParameterPair.Accepted.Select(pair => SpeakingTiny.RunAsync(engine, pair))).WaitAsync(TestEngines.Limit);
        int overdue = 0;
        foreach ((ParameterPair pair, ParameterOutcome outcome) in ParameterPair.Accepted.Zip(outcomes))
        {
            if (outcome.Last.Error is null)
            {
                pair.Check(outcome);
                continue;
            }

            overdue++;
            Assert.Contains("RequestTimeout", outcome.Last.Error, StringComparison.Ordinal);
            if (!pair.Repeats || outcome.Parameters.BestOf is not null)
            {
                continue;
            }

            ParameterOutcome alone = model.Alone[pair.ToString()];
            foreach ((CompletionOutput whole, CompletionOutput part) in alone.Completions.Zip(outcome.Completions))
            {
                Assert.True(part.TokenIds.SequenceEqual(whole.TokenIds.Take(part.TokenIds.Count)), $"{pair}: {outcome.DescribeTokens()} is no beginning of {alone.DescribeTokens()}");
            }
        }

        Assert.InRange(overdue, 64, ParameterPair.Accepted.Count);
        await AssertNothingLeaksAsync(engine);
    }

    [Fact]
    public void Parameters_do_to_the_tokens_what_the_table_says()
    {
        List<string> failures = [];
        void Compare(object what, bool equal, string without, string with)
        {
            if (equal != (without == with))
            {
                failures.Add($"{what}, tokens should {(equal ? "" : "not ")}stay: {without}\nbecame\n{with}");
            }
        }

        // On some prompts an effect may not show.
        int[][] prompts = [.. Enumerable.Range(1, 4).Select(seed => TestEngines.Prompt(seed, 24))];
        string plain = string.Join('\n', prompts.Select(prompt => model.Run(prompt, ParameterPair.Plain).DescribeTokens()));
        foreach (ParameterPair single in ParameterPair.Singles.Where(single => single.First.Effect != ParameterEffect.Depends))
        {
            string with = string.Join('\n', prompts.Select(prompt => model.Run(prompt, single).DescribeTokens()));
            Compare(single, single.First.Effect == ParameterEffect.None, plain, with);
        }

        foreach (ParameterPair pair in ParameterPair.Accepted.Where(pair => pair is { TokensAreLeadings: true, Repeats: true }))
        {
            Compare(pair, equal: true, model.Alone[pair.Leading.ToString()].DescribeTokens(), model.Alone[pair.ToString()].DescribeTokens());
        }

        Assert.True(failures.Count == 0, string.Join('\n', failures));
        // The ends that only some tokens bring are there.
        CompletionOutput[] completions = [.. model.Alone.Values.SelectMany(outcome => outcome.Completions)];
        Assert.All(Enum.GetValues<FinishReason>().Except([FinishReason.None, FinishReason.Abort, FinishReason.Error]), reason => Assert.Contains(completions, one => one.FinishReason == reason));
        Assert.Contains(completions, one => one.StopReason is string and not "repetition_detected");
        Assert.Contains(completions, one => one.StopReason is int);
    }

    [Fact]
    public void Pairs_that_make_no_sense_are_refused_and_no_other()
    {
        using var engine = AsyncLlmEngine.Create(model.Options);
        List<ParameterPair> refused = [.. ParameterPair.Pairs.Where(pair => pair.Refusal is not null)];
        Assert.Equal(ParameterTable.Refused.Count, refused.Count);
        foreach (ParameterPair pair in refused)
        {
            var error = Assert.Throws<InvalidRequestException>(() => engine.GenerateAsync(pair.Prompt, pair.Sampling, scheduling: pair.Scheduling));
            Assert.Equal(pair.Refusal, error.Message);
        }
    }

    [Fact]
    public void The_table_has_every_parameter()
    {
        IEnumerable<string> properties = new[] { typeof(SamplingParams), typeof(RequestScheduling) }
            .SelectMany(type => type.GetProperties()).Where(property => property.SetMethod is { IsPublic: true }).Select(property => property.Name);
        Assert.Equal(properties.Order(), ParameterTable.All.Select(parameter => parameter.Property).Distinct().Order());
        Assert.Equal(ParameterTable.All.Length, ParameterTable.All.Select(parameter => parameter.ToString()).Distinct().Count());
    }

    // All pairs and, among them, requests that have nothing to do with any.
    private async Task<List<string>> RunAllAsync(AsyncLlmEngine engine, ParameterPair[] pairs, bool expectHits)
    {
        List<Task<ParameterOutcome>> running = [];
        List<Task<RequestOutput>> canaries = [];
        foreach (ParameterPair pair in pairs)
        {
            if (running.Count % CanaryEach == 0)
            {
                canaries.Add(engine.GenerateAsync(SpeakingTiny.CanaryPrompt(canaries.Count), SpeakingTiny.CanaryParameters(canaries.Count)).LastAsync());
            }

            running.Add(SpeakingTiny.RunAsync(engine, pair));
        }

        ParameterOutcome[] outcomes = await Task.WhenAll(running).WaitAsync(TestEngines.Limit);
        RequestOutput[] sang = await Task.WhenAll(canaries).WaitAsync(TestEngines.Limit);
        List<string> failures = [];
        for (int i = 0; i < sang.Length; i++)
        {
            string actual = sang[i].Describe();
            if (actual != model.Canaries[i])
            {
                failures.Add($"canary {i}: {model.Canaries[i]}\nbecame\n{actual}");
            }
        }

        for (int i = 0; i < outcomes.Length; i++)
        {
            if (Failure(pairs[i], outcomes[i], expectHits) is { } failure)
            {
                failures.Add(failure);
            }
        }

        return failures;
    }

    private string? Failure(ParameterPair pair, ParameterOutcome outcome, bool expectHits)
    {
        try
        {
            pair.Check(outcome);
            string alone = model.Alone[pair.ToString()].Describe();
            Assert.True(!pair.Repeats || alone == outcome.Describe(), $"{alone}\nbecame\n{outcome.Describe()}");
            bool reads = expectHits && !pair.Scheduling.SkipReadingPrefixCache && !outcome.Parameters.ScoresPrompt;
            Assert.True(!expectHits || reads == outcome.Last.CachedTokens > 0, $"{outcome.Last.CachedTokens} tokens were found in the cache");
            return null;
        }
        catch (XunitException error)
        {
            return $"{pair}: {(error.Message.Length > 1000 ? error.Message[..1000] + "..." : error.Message)}";
        }
    }

    private static async Task AssertNothingLeaksAsync(AsyncLlmEngine engine)
    {
        await engine.AssertAllFreeAsync();
        Assert.Equal(0, engine.Memory.UsedSwapBlocks);
        Scheduler scheduler = engine.Core.Scheduler;
        CacheInvariants.Check(scheduler.Cache.Pool, [], scheduler.Cache.Prefixes);
    }

    /// <summary>A model of random weights with a tokenizer, of whose tokens some forty end a sequence; and what it gives to each request alone.</summary>
    public sealed class SpeakingTiny : IDisposable
    {
        private const int FirstEos = 2;

        private readonly TempDirectory _folder = new();
        private readonly AsyncLlmEngine _engine;

        public SpeakingTiny()
        {
            string tiny = TestAssets.Path("models", "tiny", "llama");
            File.Copy(Path.Combine(tiny, "model.safetensors"), Path.Combine(_folder.Path, "model.safetensors"));
            foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" })
            {
                File.Copy(TestAssets.Path("models", "demo", file), Path.Combine(_folder.Path, file));
            }

            string config = File.ReadAllText(Path.Combine(tiny, "config.json"));
            string ends = config.Replace($"\"eos_token_id\": {FirstEos}", $"\"eos_token_id\": [{string.Join(", ", EosIds)}]", StringComparison.Ordinal);
            Assert.NotEqual(config, ends);
            _folder.Write("config.json", ends);
            Options = TestEngines.Tiny with { Model = _folder.Path, Deterministic = true, EnablePrefixCaching = false, NumBlocksOverride = 2049, Threads = 2 };
            _engine = AsyncLlmEngine.Create(Options);
            Alone = ParameterPair.Accepted.ToDictionary(pair => pair.ToString(), pair => RunAsync(_engine, pair).GetAwaiter().GetResult());
            Canaries = [.. Enumerable.Range(0, (ParameterPair.Accepted.Count / CanaryEach) + 1)
                .Select(i => _engine.RunAsync(CanaryPrompt(i), CanaryParameters(i)).GetAwaiter().GetResult().Describe())];
        }

        internal static int[] EosIds { get; } = [FirstEos, 0, .. Enumerable.Range(800, 40)];

        internal EngineOptions Options { get; }

        internal IReadOnlyDictionary<string, ParameterOutcome> Alone { get; }

        internal string[] Canaries { get; }

        public void Dispose()
        {
            _engine.Dispose();
            _folder.Dispose();
        }

        internal static int[] CanaryPrompt(int i) => TestEngines.Prompt(9000 + i, 10 + (i % 30));

        internal static SamplingParams CanaryParameters(int i) => new() { Seed = 9000 + i, MaxTokens = 24, IgnoreEos = true, Logprobs = 2 };

        internal ParameterOutcome Run(int[] prompt, ParameterPair pair) => RunAsync(_engine, prompt, pair).GetAwaiter().GetResult();

        internal static Task<ParameterOutcome> RunAsync(AsyncLlmEngine engine, ParameterPair pair) => RunAsync(engine, pair.Prompt, pair);

        private static async Task<ParameterOutcome> RunAsync(AsyncLlmEngine engine, int[] prompt, ParameterPair pair)
        {
            List<RequestOutput> outputs = [];
            await foreach (RequestOutput output in engine.GenerateAsync(prompt, pair.Sampling, scheduling: pair.Scheduling))
            {
                outputs.Add(output);
            }

            return new ParameterOutcome(prompt, pair.Sampling, outputs, engine.Tokenizer!, EosIds);
        }
    }
}
