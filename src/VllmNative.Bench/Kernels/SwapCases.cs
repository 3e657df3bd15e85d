using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>
/// Swapping KV blocks between the device and the host's memory, on a copy stream; beside what the bus does at best, one large
/// copy each way.
/// </summary>
internal static class SwapCases
{
    private const int Rounds = 9;

    /// <summary>A block of 16 tokens of Llama-3.1-8B: 2 MiB.</summary>
    private static readonly KvGroup ServingBlock = new(32, 16, 8, 128, 128, DataType.BFloat16);

    private static readonly int[] SmallKibibytes = [4, 16, 24, 32, 64, 256];

    internal static IEnumerable<BenchEntry> Measure(KernelContext context)
    {
        using var memory = new CaseMemory(context.Device);
        long bytes = context.Plan.CopyBytes / 4;
        nint host = memory.Own(context.Device.AllocateHost(bytes)).Data;
        nint data = memory.Allocate(bytes);
        BenchEntry up = Rate("copy from the host", context.Timer.Measure(_ => context.Device.CopyToDevice(data, host, bytes)), bytes);
        BenchEntry down = Rate("copy to the host", context.Timer.Measure(_ => context.Device.CopyToHost(host, data, bytes)), bytes);
        yield return up;
        yield return down;

        int count = context.Device.Kind == DeviceKind.Cuda ? 64 : 16;
        (KvGroup Block, int Count, int Run, bool Headline)[] cases =
        [
            (ServingBlock, 1, 1, false),
            (ServingBlock, count, 1, true),
            (ServingBlock, count, 8, false),
            (ServingBlock, count, count, false),
            .. SmallKibibytes.Select(kib => (new KvGroup(1, 16, kib / 4, 64, 64, DataType.BFloat16), 512, 1, false)),
            (new KvGroup(1, 16, 6, 64, 64, DataType.BFloat16), 15, 1, false),
        ];
        foreach ((KvGroup block, int blocks, int run, bool headline) in cases)
        {
            yield return Swap(context, SwapDirection.In, block, blocks, run).Below(up.Value).AsHeadline(headline);
            yield return Swap(context, SwapDirection.Out, block, blocks, run).Below(down.Value).AsHeadline(headline);
        }
    }

    // Runs of adjacent blocks, scattered over both pools.
    private static BenchEntry Swap(KernelContext context, SwapDirection direction, KvGroup block, int count, int run)
    {
        using var memory = new CaseMemory(context.Device);
        int poolBlocks = 4 * count;
        KvPool kv = memory.Own(new KvPool(context.Device, block, poolBlocks));
        HostKvPool host = memory.Own(new HostKvPool(context.Device, block, poolBlocks));
        CopyStream copies = memory.Own(new CopyStream(context.Device));
        DeviceEvent begin = memory.Own(new DeviceEvent(context.Device));
        DeviceEvent end = memory.Own(new DeviceEvent(context.Device));
        var random = new Random(1);
        int[] sources = [.. Enumerable.Range(0, poolBlocks / run)];
        int[] destinations = [.. sources];
        random.Shuffle(sources);
        random.Shuffle(destinations);
        BlockPair[] pairs = [.. Enumerable.Range(0, count).Select(i => new BlockPair((sources[i / run] * run) + (i % run), (destinations[i / run] * run) + (i % run)))];
        List<double> microseconds = [];
        for (int i = 0; i <= Rounds; i++)
        {
            copies.Record(begin);
            copies.SwapBlocks(direction, pairs, kv, host);
            copies.Record(end);
            end.Synchronize();
            microseconds.Add(Math.Max(begin.MillisecondsUntil(end) * 1e3, 1e-3));
        }

        string way = direction == SwapDirection.In ? "in" : "out";
        string size = block.BlockBytes >= 1 << 20 ? $"{block.BlockBytes >> 20} MiB" : $"{block.BlockBytes >> 10} KiB";
        // The first round does not count.
        return Rate($"swap {way}, {count} blocks of {size}, runs of {run}", new Distribution(microseconds.Skip(1)), (double)block.BlockBytes * count);
    }

    private static BenchEntry Rate(string name, Distribution microseconds, double bytes) =>
        BenchEntry.Of(name, microseconds.Select(us => bytes / us / 1e3), "GB/s", Better.Higher) with { TimeUs = Figures.Round(microseconds.Median) };
}
