using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Scheduling;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>
/// Wherever a request's K/V comes from - computed, found in the cache, swapped out and in, brought back from the host or from
/// disk, in whatever order the policy serves - it gives the same tokens and, bit for bit, the same log-probabilities.
/// </summary>
public sealed class CacheEquivalenceTests : IDisposable
{
    private const int Count = 48;
    private const int InterruptionSeed = 11;

    private static readonly Lazy<string[]> Alone = new(ComputeAlone);

    private readonly string _directory = Path.Combine(Path.GetTempPath(), "vllm-native-" + Guid.NewGuid().ToString("N"));

    [Theory]
    [InlineData("cache off")]
    [InlineData("cache on")]
    [InlineData("cache on, chunks of 1")]
    [InlineData("cache on, chunks of 7")]
    [InlineData("cache on, chunks of 64")]
    [InlineData("lfu under pressure")]
    [InlineData("length-aware under pressure")]
    [InlineData("recompute under pressure")]
    [InlineData("swap under pressure")]
    [InlineData("swap without cache")]
    [InlineData("recompute at random steps")]
    [InlineData("swap at random steps")]
    [InlineData("priority under pressure")]
    [InlineData("fair under pressure")]
    [InlineData("shortest-predicted under pressure")]
    [InlineData("static")]
    [InlineData("latency target")]
    [InlineData("host tier")]
    [InlineData("host tier and disk")]
    public async Task The_source_of_the_cache_does_not_show(string way)
    {
        EngineOptions options = OptionsOf(way);
        using var engine = AsyncLlmEngine.Create(options);
        bool random = way.EndsWith("at random steps", StringComparison.Ordinal);
        if (random)
        {
            _ = new Interruptions(engine.Core.Scheduler, InterruptionSeed, oneIn: 2);
        }

        // The second round finds what the first one left.
        for (int round = 0; round < 2; round++)
        {
            await CompareAsync(engine, $"{way}, round {round}" + (random ? $", seed {InterruptionSeed}" : ""));
            await engine.AssertAllFreeAsync();
        }

        MemoryStats memory = engine.Memory;
        if (way == "static")
        {
            // Whole rows, which the longest request does not fill.
            Assert.Equal((0, true), (engine.Core.PeakBlocks % 8, engine.Core.PeakBlocks >= 8 * 8));
        }

        Scheduler scheduler = engine.Core.Scheduler;
        bool caches = options is { EnablePrefixCaching: true, Scheduler: "continuous" };
        Assert.Equal(caches, memory.PrefixCacheHits > 0);
        bool pressed = way.Contains("pressure", StringComparison.Ordinal) || way == "swap without cache";
        Assert.InRange(memory.Preemptions, random ? 50 : pressed ? 10 : 0, random || pressed ? long.MaxValue : 0);
        Assert.Equal(options.PreemptionMode == PreemptionMode.Swap, scheduler.Swap?.SwappedIn > 0);
        Assert.Equal(options.KvOffloadSpace > 0, scheduler.Tier?.Onloaded > 0);
    }

    [Fact]
    public async Task What_is_on_disk_outlives_the_engine()
    {
        EngineOptions options = OptionsOf("host tier and disk");
        using (var first = AsyncLlmEngine.Create(options))
        {
            await CompareAsync(first, "before the restart");
            await CompareAsync(first, "before the restart, again");
            Assert.True(first.Core.Scheduler.Disk!.Stats.Blocks > 0, "nothing was written");
        }

        using (var second = AsyncLlmEngine.Create(options))
        {
            await WaitAsync(() => second.Core.Scheduler.Disk!.Stats.Blocks > 0);
            await CompareAsync(second, "after the restart");
            Assert.True(second.Core.Scheduler.Disk!.Loaded > 0, "nothing was read");
        }

        // Other weights, or another block size, are another cache.
        using var other = AsyncLlmEngine.Create(options with { BlockSize = 8, NumBlocksOverride = 81 });
        await CompareAsync(other, "with another block size");
        Assert.Equal(0, other.Core.Scheduler.Disk!.Loaded);
    }

    [Fact]
    public async Task Damaged_block_files_are_computed_again_and_logged_once()
    {
        List<string> log = [];
        EngineOptions options = OptionsOf("host tier and disk") with { Log = line => { lock (log) { log.Add(line); } } };
        using (var first = AsyncLlmEngine.Create(options))
        {
            await CompareAsync(first, "first");
            await CompareAsync(first, "again");
        }

        foreach (string file in Directory.EnumerateFiles(_directory, "*.kv", SearchOption.AllDirectories))
        {
            byte[] bytes = File.ReadAllBytes(file);
            bytes[^1] ^= 1;
            File.WriteAllBytes(file, bytes);
        }

        using var second = AsyncLlmEngine.Create(options);
        await WaitAsync(() => second.Core.Scheduler.Disk!.Stats.Blocks > 0);
        await CompareAsync(second, "damaged");
        Assert.True(second.Core.Scheduler.Disk!.Stats.Damaged > 0, "no damaged file was looked at");
        lock (log)
        {
            Assert.Single(log);
        }
    }

    [Fact]
    public async Task Requests_of_different_salts_share_nothing()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(1, 100);
        async Task<long> HitsOf(RequestScheduling? scheduling)
        {
            MemoryStats before = engine.Memory;
            await engine.GenerateAsync(prompt, SamplingParams.Greedy, scheduling: scheduling).LastAsync();
            MemoryStats after = engine.Memory;
            // Who does not read the cache asks nothing.
            Assert.Equal(scheduling is { SkipReadingPrefixCache: true } ? 0 : prompt.Length, after.PrefixCacheQueries - before.PrefixCacheQueries);
            return after.PrefixCacheHits - before.PrefixCacheHits;
        }

        Assert.Equal(0, await HitsOf(null));
        Assert.Equal(96, await HitsOf(null));
        Assert.Equal(0, await HitsOf(new RequestScheduling { CacheSalt = "a" }));
        Assert.Equal(0, await HitsOf(new RequestScheduling { CacheSalt = "b" }));
        Assert.Equal(96, await HitsOf(new RequestScheduling { CacheSalt = "a" }));
        Assert.Equal(0, await HitsOf(new RequestScheduling { SkipReadingPrefixCache = true }));
        engine.ResetPrefixCache();
        Assert.Equal(0, await HitsOf(null));
        RequestOutput output = await engine.GenerateAsync(prompt, SamplingParams.Greedy).LastAsync();
        Assert.Equal(96, output.CachedTokens);
        Assert.Equal((7 * 100, 3 * 96), (engine.Memory.PrefixCacheQueries, engine.Memory.PrefixCacheHits));
    }

    public void Dispose()
    {
        if (Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    private EngineOptions OptionsOf(string way)
    {
        EngineOptions options = TestEngines.Tiny with { Deterministic = true };
        EngineOptions pressed = options with { BlockSize = 4, NumBlocksOverride = 60, PreemptionMode = PreemptionMode.Recompute };
        // The pool holds less than the first round leaves.
        EngineOptions tiered = options with { NumBlocksOverride = 41, MaxNumSeqs = 4, MaxNumBatchedTokens = 128, KvOffloadSpace = 0.02 };
        return way switch
        {
            "cache off" => options with { EnablePrefixCaching = false },
            "cache on" => options,
            "cache on, chunks of 1" => options with { LongPrefillTokenThreshold = 1 },
            "cache on, chunks of 7" => options with { MaxNumBatchedTokens = 7, MaxNumSeqs = 7 },
            "cache on, chunks of 64" => options with { MaxNumBatchedTokens = 64 },
            "lfu under pressure" => pressed with { EvictionPolicy = "lfu" },
            "length-aware under pressure" => pressed with { EvictionPolicy = "length-aware" },
            "recompute under pressure" => pressed,
            "swap under pressure" => pressed with { PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.01 },
            "swap without cache" => pressed with { PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.01, EnablePrefixCaching = false },
            // Few at a time, so that there are many steps.
            "recompute at random steps" => options with { MaxNumSeqs = 8, PreemptionMode = PreemptionMode.Recompute },
            "swap at random steps" => options with { MaxNumSeqs = 8, PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.01 },
            "priority under pressure" => pressed with { SchedulingPolicy = "priority" },
            "fair under pressure" => pressed with { SchedulingPolicy = "fair" },
            "shortest-predicted under pressure" => pressed with { SchedulingPolicy = "shortest-predicted" },
            "static" => options with { Scheduler = "static", MaxModelLen = 128 },
            "latency target" => options with { TargetInterTokenLatency = TimeSpan.FromMilliseconds(2) },
            "host tier" => tiered,
            "host tier and disk" => tiered with { KvOffloadDirectory = _directory },
            _ => throw new ArgumentOutOfRangeException(nameof(way), way, "no such way"),
        };
    }

    private static async Task CompareAsync(AsyncLlmEngine engine, string what)
    {
        Task<RequestOutput>[] running = [.. Enumerable.Range(0, Count).Select(i => engine.GenerateAsync(PromptOf(i), ParametersOf(i), scheduling: SchedulingOf(i)).LastAsync())];
        RequestOutput[] outputs = await Task.WhenAll(running).WaitAsync(TestEngines.Limit);
        for (int i = 0; i < Count; i++)
        {
            string actual = outputs[i].Describe();
            Assert.True(Alone.Value[i] == actual, $"{what}, request {i}:\n{Alone.Value[i]}\nbecame\n{actual}");
        }
    }

    private static async Task WaitAsync(Func<bool> condition)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < TestEngines.Limit);
            await Task.Delay(5);
        }
    }

    private static string[] ComputeAlone()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { Deterministic = true, EnablePrefixCaching = false });
        return [.. Enumerable.Range(0, Count).Select(i => engine.RunAsync(PromptOf(i), ParametersOf(i)).GetAwaiter().GetResult().Describe())];
    }

    // Four beginnings, of which a request has a part, and an end of its own.
    private static int[] PromptOf(int i) => [.. TestEngines.Prompt(1000 + (i % 4), 64)[..(16 + (i * 11 % 49))], .. TestEngines.Prompt(i, 1 + (i * 7 % 23))];

    private static SamplingParams ParametersOf(int i) => new()
    {
        Temperature = i % 3 == 0 ? 0 : 1,
        Seed = i,
        MaxTokens = 4 + (i % 29),
        IgnoreEos = true,
        Logprobs = i % 4,
        RepetitionPenalty = i % 5 == 0 ? 1.2f : 1,
    };

    private static RequestScheduling SchedulingOf(int i) => new() { Priority = i % 3, User = $"user {i % 5}" };
}
