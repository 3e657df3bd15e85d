using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>What moves memory: blocks inside the pool, weights from a checkpoint's pages.</summary>
internal static class MemoryCases
{
    private const long BlockBytes = 2L << 20;
    private const int PoolBlocks = 128;

    internal static IEnumerable<BenchEntry> Measure(KernelContext context)
    {
        foreach (int pairs in (int[])[1, 16, 64])
        {
            yield return CopyBlocks(context, pairs);
        }

        yield return LoadWeight(context);
    }

    private static BenchEntry CopyBlocks(KernelContext context, int pairs)
    {
        using var memory = new CaseMemory(context.Device);
        nint pool = memory.Allocate(BlockBytes * PoolBlocks);
        // Lists take turns through the first half of the pool, each copied to its place in the second.
        const int half = PoolBlocks / 2;
        Tensor[] lists = [.. Enumerable.Range(0, half / pairs).Select(i => memory.Ints(pairs, 2, (pair, column) => (i * pairs) + pair + (column * half)))];
        Distribution microseconds = context.Timer.Measure(i => context.Device.CopyBlocks(lists[i % lists.Length], pool, BlockBytes, PoolBlocks));
        return context.Bandwidth($"block copy, {pairs} x {BlockBytes >> 20} MiB", microseconds, 2.0 * BlockBytes * pairs);
    }

    // From plain host memory, as a mapped checkpoint is; the call returns when the weight is there, so that the clock is the host's.
    private static unsafe BenchEntry LoadWeight(KernelContext context)
    {
        using var memory = new CaseMemory(context.Device);
        const int columns = 4096;
        int rows = (int)(context.Plan.CopyBytes / 4 / (2 * columns));
        Weight weight = memory.Own(context.Device.CreateWeight(lookup: false, DataType.BFloat16, rows, columns));
        ushort[] source = new ushort[rows * columns];
        Array.Fill(source, (ushort)0x3c12);
        List<double> microseconds = [];
        fixed (ushort* values = source)
        {
            for (int i = 0; i < 4; i++)
            {
                long start = TimeProvider.System.GetTimestamp();
                weight.Load(0, rows, (nint)values, DataType.BFloat16);
                microseconds.Add(TimeProvider.System.GetElapsedTime(start).TotalMicroseconds);
            }
        }

        // The first one makes the staging buffers.
        Distribution loads = new Distribution(microseconds.Skip(1)).Select(us => 2.0 * rows * columns / us / 1e3);
        return BenchEntry.Of("weights to the device", loads, "GB/s", Better.Higher);
    }
}
