using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>What a caller can tell the KV cache while requests run: pin a prefix, move blocks together.</summary>
public sealed class CacheCommandTests
{
    private static readonly SamplingParams Plain = new() { Temperature = 0, MaxTokens = 40, IgnoreEos = true };

    [Fact]
    public async Task A_pinned_prefix_is_found_after_pressure_and_ends_with_its_time()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 33, MaxNumSeqs = 8 });
        int[] prefix = TestEngines.Prompt(1, 100);
        Assert.Equal(96, await engine.PinPrefixAsync(Prompt.FromTokens(prefix), TimeSpan.FromMinutes(1)));
        Assert.Equal(6, engine.Memory.AllocatedBlocks);
        await engine.RunAllAsync(Enumerable.Range(0, 24).Select(i => (TestEngines.Prompt(100 + i, 60), Plain)));
        Assert.Equal(96, (await engine.RunAsync([.. prefix, 5], Plain)).CachedTokens);
        engine.ResetPrefixCache();
        await engine.AssertAllFreeAsync();

        Assert.Equal(96, await engine.PinPrefixAsync(Prompt.FromTokens(prefix), TimeSpan.FromMilliseconds(20)));
        await Task.Delay(60);
        await engine.RunAsync([3, 4], Plain);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_pin_stays_while_a_lone_request_waits_for_the_disk()
    {
        using var folder = new TempDirectory();
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 65, KvOffloadSpace = 0.02, KvOffloadDirectory = folder.Path });
        Assert.Equal(96, await engine.PinPrefixAsync(Prompt.FromTokens(TestEngines.Prompt(1, 100)), TimeSpan.FromMinutes(1)));
        for (int i = 2; i < 6; i++)
        {
            await engine.RunAsync(TestEngines.Prompt(i, 60), Plain);
        }

        Assert.Equal(6, engine.Memory.AllocatedBlocks);
    }

    [Fact]
    public async Task Pins_never_hold_more_than_half_of_the_cache()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 17 });
        Assert.Equal(8 * 16, await engine.PinPrefixAsync(Prompt.FromTokens(TestEngines.Prompt(1, 200)), TimeSpan.FromMinutes(1)));
        Assert.Equal(0, await engine.PinPrefixAsync(Prompt.FromTokens(TestEngines.Prompt(2, 100)), TimeSpan.FromMinutes(1)));
        // A request that needs more than the other half still runs: the pin ends.
        Assert.Null((await engine.RunAsync(TestEngines.Prompt(3, 200), Plain)).Error);
    }

    [Fact]
    public async Task A_pin_without_time_is_refused()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        InvalidRequestException error = await Assert.ThrowsAsync<InvalidRequestException>(() => engine.PinPrefixAsync(Prompt.FromTokens([1, 2]), TimeSpan.Zero));
        Assert.Contains("time_to_live", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compaction_while_requests_run_changes_no_token()
    {
        (int[] Prompt, SamplingParams Parameters)[] requests = [.. Enumerable.Range(0, 8).Select(i => (TestEngines.Prompt(i, 5 + i), Plain with { MaxTokens = 200 }))];
        using var calm = AsyncLlmEngine.Create(TestEngines.Tiny with { Deterministic = true });
        string[] expected = [.. (await calm.RunAllAsync(requests)).Select(output => output.Describe())];
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { Deterministic = true });
        Task<RequestOutput[]> running = engine.RunAllAsync(requests);
        int moved = 0;
        while (!running.IsCompleted)
        {
            moved += await engine.DefragmentAsync();
            await Task.Delay(2);
        }

        Assert.Equal(expected, (await running).Select(output => output.Describe()));
        Assert.True(moved > 0, "nothing was moved");
        Assert.Equal(0, await engine.DefragmentAsync());
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_stopped_engine_says_so()
    {
        var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        engine.Dispose();
        await Assert.ThrowsAsync<EngineDeadException>(engine.DefragmentAsync);
        Assert.Throws<EngineDeadException>(engine.ResetPrefixCache);
    }
}
