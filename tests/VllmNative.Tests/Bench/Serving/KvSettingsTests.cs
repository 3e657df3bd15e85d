using VllmNative.Bench.Serving;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>How benchmarks size KV caches, and what shares them.</summary>
public sealed class KvSettingsTests
{
    private static readonly EngineOptions Engine = new() { Model = "m" };

    private static readonly BatchingSettings Batching = new()
    {
        Engine = Engine,
        Workload = new Workload("w", [(1000, 690), (10, 10)]),
        StaticRequests = 0,
        StaticRows = 204,
        Batches = [],
    };

    private static readonly PreemptionSettings Preemption = new()
    {
        Engine = Engine with { MaxNumSeqs = 10 },
        Workload = new Workload("w", [.. Enumerable.Repeat((30, 34), 20)]),
        Pressure = 2.5,
    };

    [Theory]
    [InlineData(27648, 2160)]
    [InlineData(21624, 1696)]
    [InlineData(21827, 1696)]
    public void SoManyRows_ShareTheWholeCache(int blocks, int tokens) => Assert.Equal(tokens, Batching.RowTokensOf(204, new MemoryStats(blocks, 0, 0, 16, 1)));

    [Fact]
    public void RowsTooSmallForTheLongestRequest_AreRefused()
    {
        VllmException error = Assert.Throws<VllmException>(() => Batching.RowTokensOf(204, new MemoryStats(21623, 0, 0, 16, 1)));
        Assert.Equal("--static-rows is 204, expected at most 203: 21623 KV blocks, 106 for the longest request", error.Message);
    }

    [Theory]
    [InlineData(3391, "--batch is 32, expected at most 31: 3391 KV blocks, 106 for the longest request")]
    [InlineData(3392, null)]
    public void RowsOfTheLargestBatch_ShareTheWholeCache(int blocks, string? expected)
    {
        BatchingSettings sweep = Batching with { StaticRows = 0, Batches = [1, 32, 4] };
        var memory = new MemoryStats(blocks, 0, 0, 16, 1);
        Assert.Equal(expected, expected is null ? null : Assert.Throws<VllmException>(() => sweep.ValidateFor(memory)).Message);
        Assert.Equal(expected is null ? 1696 : 0, expected is null ? sweep.SweepRowTokens(memory) : 0);
        (Batching with { StaticRows = 0 }).ValidateFor(memory);
    }

    [Fact]
    public void APoolUnderPressure_HoldsAShareOfWhatRuns_AndAnyRequest()
    {
        // Ten of the twenty run, of four blocks each.
        Assert.Equal(1 + 16, Preemption.EngineOptionsFor().NumBlocksOverride);
        Assert.Equal(1 + 4, (Preemption with { Pressure = 900 }).EngineOptionsFor().NumBlocksOverride);
        Assert.Null((Preemption with { Engine = Preemption.Engine with { KvCacheMemoryBytes = 1 << 20 } }).EngineOptionsFor().NumBlocksOverride);
    }

    [Fact]
    public void SwapSpace_HoldsAsManyBlocksAsTheCache_UnlessItWasGiven()
    {
        var cache = new MemoryStats(17, 0, 0, 16, 3_000_001);
        EngineOptions swap = Preemption.With(PreemptionMode.Swap, cache);
        Assert.Equal((PreemptionMode.Swap, 17), (swap.PreemptionMode, HostKvSizing.Count(swap, cache.BlockBytes).Swap));
        Assert.Equal(2.5, (Preemption with { Engine = Engine with { SwapSpace = 2.5 } }).With(PreemptionMode.Auto, cache).SwapSpace);
    }
}
