using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>What a request tells of the tokens and the time that it took.</summary>
public sealed class UsageTests
{
    private const int Count = 40;
    private static readonly SamplingParams Plain = new() { MaxTokens = 24, IgnoreEos = true, Seed = 3 };

    [Fact]
    public async Task A_preempted_request_counts_from_its_first_run()
    {
        // It finds its own blocks again, which is no hit of its prompt.
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 13, PreemptionMode = PreemptionMode.Recompute });
        RequestOutput[] outputs = await engine.RunAllAsync(Enumerable.Range(0, Count).Select(i => (TestEngines.Prompt(i, 20 + i), Plain with { MaxTokens = 60 })));
        Assert.True(engine.Memory.Preemptions >= 10 && engine.Memory.PrefixCacheHits == 0, $"{engine.Memory.Preemptions} preemptions, {engine.Memory.PrefixCacheHits} hits");
        for (int i = 0; i < Count; i++)
        {
            Assert.Equal(new TokenUsage(20 + i, 60, 0), outputs[i].Usage);
            Assert.Equal(80 + i, outputs[i].Usage.TotalTokens);
            RequestTimings t = outputs[i].Timings;
            Assert.True(0 < t.Arrived && t.Arrived <= t.Queued && t.Queued <= t.Scheduled && t.Scheduled < t.FirstToken && t.FirstToken < t.LastToken, $"request {i}: {t}");
        }
    }

    [Theory]
    [InlineData(16, 0)]
    [InlineData(17, 16)]
    [InlineData(64, 48)]
    [InlineData(79, 64)]
    public async Task Cached_tokens_are_the_full_blocks_before_the_last_token(int length, int cached)
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(1, length);
        Assert.Equal(new TokenUsage(length, 24, 0), (await engine.RunAsync(prompt, Plain)).Usage);
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, Plain))
        {
            Assert.Equal(new TokenUsage(length, output.Outputs[0].TokenIds.Count, cached), output.Usage);
        }
    }

    [Fact]
    public async Task Times_are_those_of_the_stations()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 1 });
        // The other request runs first, and its third step takes long.
        engine.Device.Inject("embedding", 3, "delay_ms", 80);
        Task<RequestOutput> first = engine.RunAsync(TestEngines.Prompt(1, 9), Plain);
        Task<RequestOutput> second = engine.RunAsync(TestEngines.Prompt(2, 9), Plain);
        RequestTimings ran = (await first).Timings;
        RequestTimings waited = (await second).Timings;
        Assert.True(TimeProvider.System.GetElapsedTime(ran.FirstToken, ran.LastToken) >= TimeSpan.FromMilliseconds(79), "the long step lies between first and last token");
        Assert.True(waited.Scheduled >= ran.LastToken, "it was scheduled before its turn");
        Assert.Equal(TimeProvider.System.GetElapsedTime(waited.Arrived, waited.FirstToken), waited.TimeToFirstToken);
        Assert.Equal(TimeProvider.System.GetElapsedTime(waited.FirstToken, waited.LastToken) / 23, waited.TimePerOutputToken(24));
    }
}
