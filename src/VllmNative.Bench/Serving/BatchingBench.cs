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
        double[] continuousSweep;
        MemoryStats memory;
        DeviceDescription device;
        int mostRows;
        using (ServingContext context = ServingContext.Open(options))
        {
            (device, memory, mostRows) = (context.Engine.Capabilities.Device, context.Llm.Memory, context.Engine.Capabilities.MaxNumSeqs);
            settings.ValidateFor(memory);
            WorkloadRun.WarmUp(context, all);
            continuousAll = WorkloadRun.AllAtOnce(context, all);
            run.Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereAll}", continuousAll.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
            if (few.Requests.Count > 0)
            {
                continuousFew = few.Requests.Count == all.Requests.Count ? continuousAll : WorkloadRun.AllAtOnce(context, few);
                run.Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereFew}", continuousFew.OutputTokensPerSecond, "tok/s", Better.Higher));
            }

            continuousSweep = RatesOf(settings, context);
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

        double[] staticSweep = bench.StaticRates(settings, config, memory);
        var sweep = new BatchSweep(
            model, all.Name, [.. settings.Batches.Select((batch, i) => new BatchPoint(batch, settings.PartFor(batch).Requests.Count, continuousSweep[i], staticSweep[i]))]);
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

    // One engine for all batch sizes: to load a model takes longer than most of them.
    private double[] StaticRates(BatchingSettings settings, ModelConfig config, MemoryStats memory)
    {
        if (settings.Batches.Count == 0)
        {
            return [];
        }

        int rowTokens = Math.Min(settings.StaticModelLenOf(config), settings.SweepRowTokens(memory));
        using ServingContext context = ServingContext.Open(_sameCache with { MaxModelLen = rowTokens, MaxNumSeqs = settings.Batches.Max() });
        WorkloadRun.WarmUp(context, settings.Workload);
        return RatesOf(settings, context);
    }

    // Of each batch size: all requests wait, and the scheduler says who runs.
    private static double[] RatesOf(BatchingSettings settings, ServingContext context) =>
    [
        .. settings.Batches.Select(batch =>
        {
            context.Engine.Core.Scheduler.MostRunning = batch;
            return WorkloadRun.AllWaiting(context, settings.PartFor(batch)).OutputTokensPerSecond;
        }),
    ];
}
