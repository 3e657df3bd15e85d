using System.Globalization;
using VllmNative.Bindings;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>How many KV blocks an engine keeps in host memory, and the memory itself.</summary>
internal static class HostKvSizing
{
    private const double GiB = 1L << 30;

    /// <summary>As many whole blocks as each option's memory holds.</summary>
    /// <exception cref="VllmException">An option is above 0 and holds none, or both hold more than can be numbered.</exception>
    internal static HostBlocks Count(EngineOptions options, long blockBytes)
    {
        // Nobody in a static row is ever preempted.
        bool preempts = options.Scheduler != EngineOptions.StaticScheduler;
        long swap = preempts ? BlocksOf(nameof(EngineOptions.SwapSpace), options.SwapSpace, blockBytes) : 0;
        long offload = BlocksOf(nameof(EngineOptions.KvOffloadSpace), options.KvOffloadSpace, blockBytes);
        return swap + offload <= int.MaxValue
            ? new HostBlocks((int)swap, (int)offload)
            : throw new VllmException($"engine options: {Describe(options)}, which is {swap + offload} KV blocks, expected at most {int.MaxValue}");
    }

    /// <summary>The memory; null when there is no block. A GPU's is pinned.</summary>
    /// <exception cref="VllmException">The machine has not so much memory, or does not give it.</exception>
    internal static HostKvPool? Allocate(EngineOptions options, Device device, KvGroup group, HostBlocks blocks)
    {
        if (blocks.Total == 0)
        {
            return null;
        }

        // Asked first, because a system that promises more than it has ends the process when the memory is touched.
        long bytes = blocks.Total * group.BlockBytes;
        long most = MachineBytes();
        if (bytes > most)
        {
            throw new VllmException($"engine options: {Describe(options)}, {bytes} bytes of host memory, but this machine has no more than {most}");
        }

        try
        {
            return new HostKvPool(device, group, blocks.Total);
        }
        catch (NativeException error) when (error.Status == NativeStatus.OutOfHostMemory)
        {
            throw new VllmException($"engine options: {Describe(options)}, {bytes} bytes of host memory, which could not be had: {error.Message}", error);
        }
    }

    private static long BlocksOf(string option, double gibibytes, long blockBytes)
    {
        double blocks = Math.Floor(gibibytes * GiB / blockBytes);
        return blocks > 0 || gibibytes == 0
            ? (long)blocks
            : throw new VllmException(FormattableString.Invariant($"engine options: {option} is {gibibytes} GiB, but one KV block is {blockBytes} bytes"));
    }

    // Those of the two options that are set.
    private static string Describe(EngineOptions options)
    {
        string Of(string option, double gibibytes) => gibibytes == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{option} is {gibibytes} GiB");
        string[] both = [Of(nameof(EngineOptions.SwapSpace), options.SwapSpace), Of(nameof(EngineOptions.KvOffloadSpace), options.KvOffloadSpace)];
        return string.Join(" and ", both.Where(text => text.Length > 0));
    }

    // Of the machine or the container. The first is the managed heap's limit where one was set, which these blocks are not part
    // of; the second is a share of the whole.
    private static long MachineBytes()
    {
        GCMemoryInfo memory = GC.GetGCMemoryInfo();
        return Math.Max(memory.TotalAvailableMemoryBytes, memory.HighMemoryLoadThresholdBytes);
    }
}
