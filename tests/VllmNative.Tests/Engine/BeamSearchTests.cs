using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Beam searches on real models.</summary>
public sealed class BeamSearchTests
{
    private static readonly SamplingParams Four = SamplingParams.Greedy with { UseBeamSearch = true, N = 4, MaxTokens = 12 };

    [Fact]
    public async Task The_search_is_that_of_requests_that_each_ask_for_one_token()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int stopped = 0;
        for (int seed = 0; seed < 6; seed++)
        {
            int[] prompt = TestEngines.Prompt(seed, 5 + (9 * seed));
            SamplingParams parameters = Four with { LengthPenalty = seed / 2.0, EarlyStopping = (EarlyStopping)(seed % 3), IgnoreEos = true, MinTokens = seed % 2, Logprobs = 2 };
            // What comes soon ends a sequence.
            RequestOutput free = await engine.RunAsync(prompt, parameters);
            parameters = parameters with { StopTokenIds = [free.Outputs[0].TokenIds[3], free.Outputs[0].TokenIds[6], free.Outputs[1].TokenIds[5], free.Outputs[2].TokenIds[4]] };
            (int[] Ids, double Score)[] expected = await LoopAsync(engine, prompt, parameters);
            RequestOutput found = await engine.RunAsync(prompt, parameters);
            Assert.Equal(expected.Select(sequence => sequence.Ids), found.Outputs.Select(output => output.TokenIds));
            for (int i = 0; i < expected.Length; i++)
            {
                CompletionOutput output = found.Outputs[i];
                // A GPU's products may depend on the batch in their last bits.
                Assert.Equal(expected[i].Score, output.Score!.Value, TestDevice.Kind == DeviceKind.Cpu ? 1e-6 : 1e-5);
                Assert.Equal(output.Score!.Value, output.CumulativeLogprob!.Value / Math.Pow(output.TokenIds.Count, parameters.LengthPenalty), 1e-9);
                Assert.Equal(i, output.Index);
                bool stops = parameters.StopTokenIds.Contains(output.TokenIds[^1]);
                stopped += stops ? 1 : 0;
                Assert.Equal(stops ? (FinishReason.Stop, (object?)output.TokenIds[^1]) : (FinishReason.Length, null), (output.FinishReason, output.StopReason));
            }
        }

        Assert.True(stopped > 1, $"only {stopped} sequences were ended by a token");
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Each_token_has_the_log_probabilities_that_scoring_its_sequence_gives()
    {
        using var llm = new LLM(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(3, 20);
        RequestOutput found = llm.Generate(prompt, Four with { Logprobs = 3, PromptLogprobs = 1 });
        foreach (CompletionOutput output in found.Outputs)
        {
            RequestOutput scored = llm.Generate((int[])[.. prompt, .. output.TokenIds], SamplingParams.Greedy with { MaxTokens = 1, PromptLogprobs = 3 });
            for (int i = 0; i < output.TokenIds.Count; i++)
            {
                PositionLogprobs expected = scored.PromptLogprobs![prompt.Length + i]!;
                Assert.Equal((expected.Sampled.TokenId, expected.Sampled.Rank), (output.Logprobs![i].Sampled.TokenId, output.Logprobs[i].Sampled.Rank));
                Assert.Equal(expected.Sampled.Logprob, output.Logprobs[i].Sampled.Logprob, 1e-4f);
                Assert.Equal(expected.Top.Select(top => top.TokenId), output.Logprobs[i].Top.Select(top => top.TokenId));
            }
        }

        Assert.Equal(20, found.PromptLogprobs!.Count);
        Assert.NotNull(found.PromptLogprobs[19]);
        await llm.Engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task One_output_comes_when_all_have_ended()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        RequestOutput[] four = [await engine.RunAsync(TestEngines.Prompt(1, 30), Four)];
        foreach (OutputKind kind in Enum.GetValues<OutputKind>())
        {
            List<RequestOutput> outputs = [];
            await foreach (RequestOutput output in engine.GenerateAsync(TestEngines.Prompt(1, 30), Four with { N = 2, BestOf = 4, OutputKind = kind }))
            {
                outputs.Add(output);
            }

            RequestOutput only = Assert.Single(outputs);
            Assert.True(only.Finished && only.Timings.FirstToken > 0 && only.Timings.LastToken >= only.Timings.FirstToken);
            Assert.Equal(four[0].Outputs.Take(2).Select(output => output.TokenIds), only.Outputs.Select(output => output.TokenIds));
            Assert.Equal(new TokenUsage(30, only.Outputs.Sum(output => output.TokenIds.Count), only.CachedTokens), only.Usage);
            Assert.All(only.Outputs, output => Assert.Null(output.Logprobs));
        }
    }

    [Fact]
    public void Text_ends_before_the_end_of_sequence_token_unless_it_is_asked_for()
    {
        using var llm = new LLM(TestEngines.Demo);
        Prompt[] prompts = ["The harbour", "Once"];
        var parameters = new BeamSearchParams { BeamWidth = 3, MaxTokens = 20 };
        IReadOnlyList<RequestOutput> outputs = llm.BeamSearch(prompts, parameters);
        Assert.Equal((2, 3), (outputs.Count, outputs[0].Outputs.Count));
        // What ended a sequence is known by its id.
        int end = outputs[0].Outputs[0].TokenIds[4];
        SamplingParams ending = parameters.ToSamplingParams() with { StopTokenIds = [end] };
        CompletionOutput without = llm.Generate("The harbour", ending).Outputs.First(output => output.FinishReason == FinishReason.Stop);
        CompletionOutput with = llm.Generate("The harbour", ending with { IncludeStopStrInOutput = true }).Outputs.First(output => output.FinishReason == FinishReason.Stop);
        Assert.Equal(without.TokenIds, with.TokenIds);
        Assert.Equal(end, with.TokenIds[^1]);
        Assert.StartsWith(without.Text, with.Text, StringComparison.Ordinal);
        Assert.True(with.Text.Length > without.Text.Length);
    }

    [Theory]
    [InlineData(true, 513, 8)]
    [InlineData(false, 13, 8)]
    [InlineData(true, 7, 4)]
    public async Task Beams_beside_other_requests_change_neither(bool caching, int blocks, int maxSeqs)
    {
        using var alone = AsyncLlmEngine.Create(TestEngines.Tiny);
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { EnablePrefixCaching = caching, NumBlocksOverride = blocks, MaxNumSeqs = maxSeqs });
        (int[] Prompt, SamplingParams Parameters)[] requests = [.. Enumerable.Range(0, 9).Select(i => (TestEngines.Prompt(i, 11 + (5 * i)), (i % 3) switch
        {
            0 => Four with { N = 1 + (i % 4), MaxTokens = 10 + i, Logprobs = 1, LengthPenalty = 1.5 },
            1 => SamplingParams.Greedy with { MaxTokens = 20, IgnoreEos = true, Logprobs = 1 },
            _ => new SamplingParams { Seed = i, MaxTokens = 15, IgnoreEos = true, Logprobs = 0, FrequencyPenalty = 0.5f },
        }))];
        RequestOutput[] together = await engine.RunAllAsync(requests);
        for (int i = 0; i < requests.Length; i++)
        {
            RequestOutput expected = await alone.RunAsync(requests[i].Prompt, requests[i].Parameters);
            Assert.Equal(expected.Outputs.Select(output => output.TokenIds), together[i].Outputs.Select(output => output.TokenIds));
            if (TestDevice.Kind == DeviceKind.Cpu)
            {
                Assert.Equal(expected.Describe(), together[i].Describe());
            }
        }

        Assert.True(blocks > 100 || engine.Memory.Preemptions > 0, "the pool was not too small");
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Leaving_frees_all_beams_at_any_moment()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 8 });
        for (int turn = 0; turn < 30; turn++)
        {
            using var cancellation = new CancellationTokenSource();
            Task<RequestOutput> reader = engine.GenerateAsync(TestEngines.Prompt(turn, 30), Four with { MaxTokens = 400, EarlyStopping = EarlyStopping.Never }, cancellationToken: cancellation.Token).LastAsync();
            await Task.Delay(turn % 10);
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reader.WaitAsync(TestEngines.Limit));
        }

        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_failed_step_a_timeout_and_the_end_of_the_engine_end_all_beams_of_a_search()
    {
        using (var engine = AsyncLlmEngine.Create(TestEngines.Tiny))
        {
            for (int at = 1; at < 10; at += 2)
            {
                engine.Device.Inject("sample", at, "fail", (int)VllmNative.Bindings.NativeStatus.Internal);
                RequestOutput failed = await engine.RunAsync(TestEngines.Prompt(at, 20), Four with { IgnoreEos = true });
                Assert.NotNull(failed.Error);
                Assert.All(failed.Outputs, output => Assert.Equal((FinishReason.Error, 0), (output.FinishReason, output.TokenIds.Count)));
                Assert.Equal(4, failed.Outputs.Count);
            }

            await engine.AssertAllFreeAsync();
            Task<RequestOutput> reader = engine.GenerateAsync(TestEngines.Prompt(1, 20), Four with { MaxTokens = 480, IgnoreEos = true, EarlyStopping = EarlyStopping.Never }).LastAsync();
            engine.Dispose();
            Assert.All((await reader.WaitAsync(TestEngines.Limit)).Outputs, output => Assert.Equal(FinishReason.Abort, output.FinishReason));
        }

        using var slow = AsyncLlmEngine.Create(TestEngines.Tiny with { RequestTimeout = TimeSpan.FromMilliseconds(40) });
        slow.Hold(200);
        RequestOutput late = await slow.RunAsync(TestEngines.Prompt(1, 20), Four);
        Assert.Contains("RequestTimeout", late.Error, StringComparison.Ordinal);
        await slow.AssertAllFreeAsync();
    }

    [Fact]
    public void Widths_that_cannot_be_computed_are_refused()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 8 });
        AssertRefused(engine, Four with { N = 9 }, "n", "n is 9, expected 1..8 with use_beam_search (MaxNumSeqs)");
        AssertRefused(engine, Four with { N = 2, BestOf = 10 }, "best_of", "best_of is 10, expected 1..8 with use_beam_search (MaxNumSeqs)");
        AssertRefused(
            engine,
            Four with { StopTokenIds = [.. Enumerable.Range(10, 253)], IgnoreEos = true },
            "n",
            "n is 4, expected at most 3 with 253 stop tokens and 0 bad words: a beam's step brings 256 log-probabilities");
        using var still = AsyncLlmEngine.Create(TestEngines.Tiny with { Scheduler = EngineOptions.StaticScheduler });
        AssertRefused(still, Four, "use_beam_search", "use_beam_search is true, expected false with static batching, which takes no beams in while it runs");
    }

    private static void AssertRefused(AsyncLlmEngine engine, SamplingParams parameters, string parameter, string message)
    {
        InvalidRequestException error = Assert.Throws<InvalidRequestException>(() => engine.Prepare(new[] { 1, 2, 3 }, parameters));
        Assert.Equal((parameter, message), (error.Parameter, error.Message));
    }

    // As many requests a step as there are beams, each for one token and its log-probabilities.
    private static async Task<(int[] Ids, double Score)[]> LoopAsync(AsyncLlmEngine engine, int[] prompt, SamplingParams search)
    {
        SamplingParams one = SamplingParams.Greedy with { MaxTokens = 1, Logprobs = 2 * search.N, IgnoreEos = true };
        List<(int[] Ids, double Logprob)> running = [([], 0)];
        (int[] Ids, double Score)[] finished = [];
        for (int length = 1; length <= search.MaxTokens; length++)
        {
            RequestOutput[] outputs = await engine.RunAllAsync(running.Select(beam => ((int[])[.. prompt, .. beam.Ids], one)));
            (int[] Ids, double Logprob)[] all = [.. running
                .Zip(outputs)
                .SelectMany(pair => pair.Second.Outputs[0].Logprobs![0].Top.Select(top => (Ids: (int[])[.. pair.First.Ids, top.TokenId], Logprob: pair.First.Logprob + top.Logprob)))
                .Where(next => length > search.MinTokens || !search.StopTokenIds.Contains(next.Ids[^1]))
                .OrderByDescending(next => next.Logprob)];
            bool Ends(int[] ids) => search.StopTokenIds.Contains(ids[^1]);
            double ScoreOf(double logprob, int of) => logprob / Math.Pow(of, search.LengthPenalty);
            finished = [.. finished
                .Concat(all.Take(search.N).Where(next => Ends(next.Ids) || length == search.MaxTokens).Select(next => (next.Ids, ScoreOf(next.Logprob, length))))
                .OrderByDescending(sequence => sequence.Item2)
                .Take(search.N)];
            running = [.. all.Where(next => !Ends(next.Ids)).Take(search.N)];
            int hoped = search is { EarlyStopping: EarlyStopping.Never, LengthPenalty: > 0 } ? search.MaxTokens!.Value : length;
            if (finished.Length == search.N && (search.EarlyStopping == EarlyStopping.True || ScoreOf(running[0].Logprob, hoped) <= finished[^1].Score))
            {
                break;
            }
        }

        return finished;
    }
}
