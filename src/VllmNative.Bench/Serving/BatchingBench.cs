using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Continuous against static batching of a workload, on engines with KV caches of the same size, one after the other. Static rows
/// reserve what any request might need, or what the workload's longest does, or the cache is divided among a given number of rows.
/// </summary>
internal sealed class BatchingBench
{
    // Of each batch size, so that several batches follow each other.
    private const int SweepRequestsPerRow = 3;
    private const int LeastSweepRequests = 4;

    private readonly BenchRun _run;
    private readonly EngineOptions _sameCache;

    private BatchingBench(BenchRun run, EngineOptions sameCache) => (_run, _sameCache) = (run, sameCache);

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    internal static (BenchReport Report, BatchSweep Sweep) Run(BatchingSettings settings, BenchRun run)
    {
        (ModelConfig config, string model) = ServingContext.Describe(settings.Engine);
        settings.ValidateFor(config);
        int reserved = settings.StaticModelLenOf(config);
        Workload all = settings.Workload;
        Workload few = all.Take(settings.StaticRequests);
        string whereAll = $"{model}, {all.Name}, {all.Requests.Count} requests";
        string whereFew = $"{model}, {all.Name}, first {few.Requests.Count} requests";
        EngineOptions options = settings.EngineOptionsFor() with { MaxModelLen = reserved };
        WorkloadRun continuousAll;
        WorkloadRun? continuousFew = null;
        BatchSweep sweep;
        MemoryStats memory;
        DeviceDescription device;
        int mostRows;
        using (ServingContext context = ServingContext.Open(options))
        {
            (device, memory, mostRows) = (context.Engine.Capabilities.Device, context.Llm.Memory, context.Engine.Capabilities.MaxNumSeqs);
            WorkloadRun.WarmUp(context, all);
            continuousAll = WorkloadRun.AllAtOnce(context, all);
            run.Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereAll}", continuousAll.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
            if (few.Requests.Count > 0)
            {
                continuousFew = few.Requests.Count == all.Requests.Count ? continuousAll : WorkloadRun.AllAtOnce(context, few);
                run.Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereFew}", continuousFew.OutputTokensPerSecond, "tok/s", Better.Higher));
            }

            sweep = new BatchSweep(model, all.Name, [.. settings.Batches.Select(batch => PointOf(context, all, batch))]);
        }

        var bench = new BatchingBench(run, options with { Scheduler = EngineOptions.StaticScheduler, KvCacheMemoryBytes = (memory.TotalBlocks + 1) * memory.BlockBytes, NumBlocksOverride = null });
        if (settings.StaticRows is not { } rows)
        {
            bench.Static(all.LongestRequest, mostRows, all, continuousAll, "rows for the longest request", whereAll);
        }
        else if (rows > 0)
        {
            bench.Static(Math.Min(settings.RowTokensOf(rows, memory), config.MaxPositionEmbeddings), rows, all, continuousAll, $"{rows} rows", whereAll);
        }

        if (continuousFew is not null)
        {
            bench.Static(reserved, mostRows, few, continuousFew, $"rows of {reserved} tokens", whereFew);
        }

        run.AddAll(sweep.Entries());
        return (run.Report(device), sweep);
    }

    private void Static(int rowTokens, int mostRows, Workload workload, WorkloadRun continuous, string rows, string where)
    {
        using ServingContext context = ServingContext.Open(_sameCache with { MaxModelLen = rowTokens, MaxNumSeqs = mostRows });
        MemoryStats memory = context.Llm.Memory;
        int rowBlocks = (rowTokens + memory.BlockSize - 1) / memory.BlockSize;
        _run.Add(BenchEntry.Of($"static batching, {rows}, rows that fit, {where}", Math.Min(memory.TotalBlocks / rowBlocks, mostRows), "rows", Better.Higher));
        WorkloadRun.WarmUp(context, workload);
        WorkloadRun run = WorkloadRun.AllWaiting(context, workload);
        _run.Add(BenchEntry.Of($"output tokens a second, static batching, {rows}, {where}", run.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
        double ratio = continuous.OutputTokensPerSecond / run.OutputTokensPerSecond;
        _run.Add(BenchEntry.Of($"continuous over static batching, {rows}, {where}", ratio, "x", Better.Higher).AsHeadline());
    }

    // On one engine: with so few rows reservations do not matter, only who waits for whom.
    private static BatchPoint PointOf(ServingContext context, Workload workload, int batch)
    {
        Workload part = workload.Take(Math.Max(SweepRequestsPerRow * batch, LeastSweepRequests));
        WorkloadRun continuous = WorkloadRun.OneForOne(context, part, batch);
        WorkloadRun inBatches = WorkloadRun.InBatches(context, part, batch);
        return new BatchPoint(batch, part.Requests.Count, continuous.OutputTokensPerSecond, inBatches.OutputTokensPerSecond);
    }
}
