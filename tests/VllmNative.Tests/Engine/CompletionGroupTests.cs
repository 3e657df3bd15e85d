using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Several completions of one prompt.</summary>
public sealed class CompletionGroupTests
{
    private static readonly SamplingParams Random = new() { Temperature = 1.2f, MaxTokens = 24, IgnoreEos = true, Seed = 40, Logprobs = 1 };

    [Theory]
    [InlineData(false, 64, 513)]
    [InlineData(true, 64, 513)]
    [InlineData(true, 3, 12)]
    [InlineData(false, 2, 7)]
    public async Task Each_completion_is_what_its_seed_gives_alone(bool caching, int maxSeqs, int blocks)
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { EnablePrefixCaching = caching, MaxNumSeqs = maxSeqs, NumBlocksOverride = blocks });
        foreach (int length in new[] { 1, 16, 37 })
        {
            int[] prompt = TestEngines.Prompt(length, length);
            RequestOutput group = await engine.RunAsync(prompt, Random with { N = 5, Stop = [] });
            Assert.Equal([0, 1, 2, 3, 4], group.Outputs.Select(output => output.Index));
            Assert.Equal(new TokenUsage(length, 5 * 24, group.CachedTokens), group.Usage);
            for (int i = 0; i < 5; i++)
            {
                CompletionOutput alone = (await engine.RunAsync(prompt, Random with { Seed = 40 + i })).Outputs[0];
                Assert.Equal(alone.TokenIds, group.Outputs[i].TokenIds);
                Assert.Equal(alone.CumulativeLogprob!.Value, group.Outputs[i].CumulativeLogprob!.Value, 1e-3);
                Assert.Equal(FinishReason.Length, group.Outputs[i].FinishReason);
            }

            Assert.True(group.Finished && group.Timings.LastToken >= group.Timings.FirstToken);
        }

        Assert.True(maxSeqs > 3 || blocks > 9 || engine.Memory.Preemptions > 0, "the pool was not too small");
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task The_prompt_is_computed_once_and_its_blocks_are_shared()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { EnablePrefixCaching = false });
        int[] prompt = TestEngines.Prompt(2, 330);
        await engine.RunAsync(prompt, Random with { N = 8, MaxTokens = 4 });
        // 21 blocks of 16 hold the prompt; each of the others has but its last one for itself.
        Assert.InRange(engine.Memory.PeakBlocks, 21 + 7, 21 + 7 + 8);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_group_whose_first_completion_ends_at_once_is_complete()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(2, 40);
        RequestOutput group = await engine.RunAsync(prompt, Random with { N = 6, MaxTokens = 1 });
        Assert.All(group.Outputs, output => Assert.Equal((1, FinishReason.Length), (output.TokenIds.Count, output.FinishReason)));
        RequestOutput again = await engine.RunAsync(prompt, Random with { N = 6, MaxTokens = 1 });
        Assert.Equal(group.Outputs.Select(output => output.TokenIds[0]), again.Outputs.Select(output => output.TokenIds[0]));
    }

    [Fact]
    public async Task Unseeded_completions_differ()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        RequestOutput group = await engine.RunAsync(TestEngines.Prompt(2, 10), Random with { N = 4, Seed = -1 });
        Assert.Equal(4, group.Outputs.Select(output => string.Join(' ', output.TokenIds)).Distinct().Count());
        RequestOutput other = await engine.RunAsync(TestEngines.Prompt(2, 10), Random with { N = 4, Seed = null });
        Assert.Empty(group.Outputs.Select(output => string.Join(' ', output.TokenIds)).Intersect(other.Outputs.Select(output => string.Join(' ', output.TokenIds))));
    }

    [Fact]
    public async Task The_best_of_many_are_returned_best_first()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(2, 10);
        CompletionOutput[] all = [.. (await engine.RunAsync(prompt, Random with { N = 6 })).Outputs.OrderByDescending(output => output.CumulativeLogprob)];
        List<RequestOutput> outputs = [];
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, Random with { N = 2, BestOf = 6, Logprobs = null }))
        {
            outputs.Add(output);
        }

        RequestOutput best = Assert.Single(outputs);
        Assert.Equal(all[..2].Select(output => output.TokenIds), best.Outputs.Select(output => output.TokenIds));
        Assert.Equal([0, 1], best.Outputs.Select(output => output.Index));
        Assert.All(best.Outputs, output => Assert.Null(output.Logprobs));
        Assert.Equal(6 * 24, best.Usage.CompletionTokens);
        Assert.NotEqual(all[0].CumulativeLogprob, all[5].CumulativeLogprob);
    }

    [Fact]
    public async Task Deltas_of_a_group_join_by_index()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(2, 10);
        RequestOutput whole = await engine.RunAsync(prompt, Random with { N = 3 });
        List<int>[] ids = [[], [], []];
        bool[] ended = new bool[3];
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, Random with { N = 3, OutputKind = OutputKind.Delta }))
        {
            foreach (CompletionOutput delta in output.Outputs)
            {
                Assert.False(ended[delta.Index]);
                ids[delta.Index].AddRange(delta.TokenIds);
                ended[delta.Index] = delta.FinishReason == FinishReason.Length;
            }
        }

        Assert.Equal(whole.Outputs.Select(output => output.TokenIds), ids);
        Assert.All(ended, Assert.True);
    }

    [Fact]
    public async Task Leaving_ends_all_completions()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 4 });
        for (int turn = 0; turn < 20; turn++)
        {
            using var cancellation = new CancellationTokenSource();
            int outputs = 0;
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            {
                await foreach (RequestOutput _ in engine.GenerateAsync(TestEngines.Prompt(turn, 30), Random with { N = 9, MaxTokens = 300 }, cancellationToken: cancellation.Token))
                {
                    if (++outputs > turn % 4)
                    {
                        await cancellation.CancelAsync();
                    }
                }
            });
            if (turn % 3 == 0)
            {
                // Before anything has started, too.
                using var at = new CancellationTokenSource();
                Task<RequestOutput> early = engine.GenerateAsync(TestEngines.Prompt(turn, 30), Random with { N = 9, MaxTokens = 300 }, cancellationToken: at.Token).LastAsync();
                await at.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => early);
            }
        }

        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_stop_string_ends_its_own_completion_and_no_other()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Demo);
        SamplingParams free = Random with { N = 4, Temperature = 1.5f, MaxTokens = 60 };
        RequestOutput all = await engine.GenerateAsync("The harbour", free).LastAsync().WaitAsync(TestEngines.Limit);
        // A piece of text that only the second one has.
        string text = all.Outputs[1].Text;
        string stop = Enumerable.Range(8, text.Length - 12).Select(at => text.Substring(at, 4)).First(piece => all.Outputs.Count(output => output.Text.Contains(piece, StringComparison.Ordinal)) == 1);
        RequestOutput stopped = await engine.GenerateAsync("The harbour", free with { Stop = [stop] }).LastAsync().WaitAsync(TestEngines.Limit);
        Assert.Equal((FinishReason.Stop, (object)stop), (stopped.Outputs[1].FinishReason, stopped.Outputs[1].StopReason));
        Assert.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], stopped.Outputs[1].Text);
        foreach (int other in new[] { 0, 2, 3 })
        {
            Assert.Equal(all.Outputs[other].TokenIds, stopped.Outputs[other].TokenIds);
        }

        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_failed_completion_leaves_the_others_and_a_dead_engine_ends_all()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 2, EnablePrefixCaching = false });
        int failures = 0;
        for (int at = 1; at < 40; at += 3)
        {
            engine.Device.Inject("sample", at, "fail", (int)VllmNative.Bindings.NativeStatus.Internal);
            RequestOutput group = await engine.RunAsync(TestEngines.Prompt(at, 20), Random with { N = 5, MaxTokens = 8 });
            int failed = group.Outputs.Count(output => output.FinishReason == FinishReason.Error);
            failures += failed;
            Assert.Equal(failed > 0, group.Error is not null);
            Assert.True(failed < 5);
            Assert.All(group.Outputs, output => Assert.True(output.FinishReason == FinishReason.Error || output.TokenIds.Count == 8));
        }

        Assert.True(failures > 0);
        await engine.AssertAllFreeAsync();
        IAsyncEnumerable<RequestOutput> outputs = engine.GenerateAsync(TestEngines.Prompt(1, 20), Random with { N = 9, MaxTokens = 400 });
        Task<RequestOutput> reader = outputs.LastAsync();
        engine.Dispose();
        Assert.All((await reader.WaitAsync(TestEngines.Limit)).Outputs, output => Assert.Equal(FinishReason.Abort, output.FinishReason));
    }
}
