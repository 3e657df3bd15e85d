using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>How many KV blocks an engine gets.</summary>
internal static class KvCacheSizing
{
    internal const double DefaultGpuUtilization = 0.9;

    private const long DefaultCpuBytes = 1L << 30;

    /// <summary>Blocks of the pool, the null block included.</summary>
    /// <param name="options">May give the number, or the bytes.</param>
    /// <param name="group">What a block holds.</param>
    /// <param name="shape">What can be used.</param>
    /// <param name="withoutCache">A GPU's memory with everything but the cache in it; null on the CPU.</param>
    /// <exception cref="VllmException">There is no room for two, or for one static row; the message has the numbers.</exception>
    internal static int NumBlocks(EngineOptions options, KvGroup group, BatchShape shape, MemoryReport? withoutCache)
    {
        int blocks = Fitting(options, group, shape, withoutCache);
        return options.Scheduler != EngineOptions.StaticScheduler || blocks > shape.MaxBlocks
            ? blocks
            : throw new VllmException(
                $"engine options: Scheduler is \"{EngineOptions.StaticScheduler}\" with rows of {shape.MaxBlocks} KV blocks, enough for MaxModelLen, but there are {blocks - 1}; use a smaller MaxModelLen or a larger KV cache");
    }

    private static int Fitting(EngineOptions options, KvGroup group, BatchShape shape, MemoryReport? withoutCache)
    {
        if (options.NumBlocksOverride is { } exact)
        {
            return exact;
        }

        long bytes = options.KvCacheMemoryBytes ?? withoutCache?.Unused ?? DefaultCpuBytes;
        long blocks = bytes / group.BlockBytes;
        if (blocks < 2)
        {
            string source = options.KvCacheMemoryBytes is null && withoutCache is not null
                ? $"GpuMemoryUtilization {options.GpuMemoryUtilization ?? DefaultGpuUtilization} leaves {bytes} bytes for the KV cache"
                : $"KvCacheMemoryBytes is {bytes}";
            string report = withoutCache is null ? "" : " (" + Describe(withoutCache) + ")";
            throw new VllmException($"engine options: {source}, but two KV blocks of {group.BlockBytes} bytes are the least{report}");
        }

        // More than every row at full length would never be used.
        long useful = 1 + ((long)shape.MaxSeqs * shape.MaxBlocks);
        return (int)Math.Min(Math.Min(blocks, useful), int.MaxValue);
    }

    // In one line, as every error here.
    private static string Describe(MemoryReport m) =>
        $"of {m.Total} bytes {m.Limit} may be used; elsewhere {m.Elsewhere}, weights {m.Weights}, activations {m.Activations}, step buffers {m.StepBuffers}, " +
        $"runtime {m.Runtime}, graphs {m.Graphs}, reserved {m.Reserved}";
}
