using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Execution;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>How many KV blocks a device's memory gives; the GPU's side of it is arithmetic, and needs none.</summary>
public sealed class KvCacheSizingTests
{
    // 2 layers x (K and V) x 4 heads x 16 tokens x 8 elements of 2 bytes: 4096 bytes a block.
    private static readonly KvGroup Group = new(2, 16, 4, 8, 8, DataType.BFloat16);

    private static readonly BatchShape Shape = new(MaxSeqs: 4, MaxTokens: 64, MaxLogits: 4, MaxBlocks: 100, BlockSize: 16);

    [Fact]
    public void A_gpu_gives_what_everything_else_leaves()
    {
        Assert.Equal(4096, Group.BlockBytes);
        Assert.Equal(7, KvCacheSizing.NumBlocks(Options, Group, Shape, Memory(limit: 1000 + 60_000 + (7 * 4096) + 4095)));
    }

    [Fact]
    public void More_than_all_rows_at_full_length_is_never_taken() =>
        Assert.Equal(1 + (4 * 100), KvCacheSizing.NumBlocks(Options, Group, Shape, Memory(limit: 1L << 40)));

    [Fact]
    public void Too_little_is_one_line_with_the_numbers()
    {
        VllmException error = Assert.Throws<VllmException>(() => KvCacheSizing.NumBlocks(Options, Group, Shape, Memory(limit: 1000 + 60_000 + 8191)));
        Assert.Equal(
            "engine options: GpuMemoryUtilization 0.5 leaves 8191 bytes for the KV cache, but two KV blocks of 4096 bytes are the least " +
            "(of 2199023255552 bytes 69191 may be used; elsewhere 1000, weights 10000, activations 10000, step buffers 10000, runtime 10000, graphs 10000, reserved 10000)",
            error.Message);
    }

    [Fact]
    public void Static_batching_needs_one_whole_row()
    {
        EngineOptions options = Options with { Scheduler = "static", NumBlocksOverride = 101 };
        Assert.Equal(101, KvCacheSizing.NumBlocks(options, Group, Shape, null));
        VllmException error = Assert.Throws<VllmException>(() => KvCacheSizing.NumBlocks(options with { NumBlocksOverride = 100 }, Group, Shape, null));
        Assert.Equal(
            "engine options: Scheduler is \"static\" with rows of 100 KV blocks, enough for MaxModelLen, but there are 99; use a smaller MaxModelLen or a larger KV cache",
            error.Message);
    }

    private static EngineOptions Options => new() { Model = "x", Device = DeviceKind.Cuda, GpuMemoryUtilization = 0.5 };

    private static MemoryReport Memory(long limit) => new()
    {
        Total = 1L << 41,
        Limit = limit,
        Elsewhere = 1000,
        Weights = 10_000,
        Activations = 10_000,
        StepBuffers = 10_000,
        Runtime = 10_000,
        Graphs = 10_000,
        Reserved = 10_000,
        KvCache = 0,
        HostKv = 0,
    };
}
