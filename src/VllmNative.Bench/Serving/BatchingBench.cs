using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Continuous against static batching of a workload, on engines with KV caches of the same size, one after the other. Static rows
/// reserve what any request might need, or what the workload's longest does.
/// </summary>
internal static class BatchingBench
{
    // Of each batch size, so that several batches follow each other.
    private const int SweepRequestsPerRow = 3;
    private const int LeastSweepRequests = 4;

    /// <param name="settings">What to measure.</param>
    /// <param name="command">The command line, for the report.</param>
    /// <param name="show">Gets each entry as soon as it is there.</param>
    internal static (BenchReport Report, BatchSweep Sweep) Run(BatchingSettings settings, string command, Action<BenchEntry> show)
    {
        (ModelConfig config, string model) = ServingContext.Describe(settings.Engine);
        settings.Validate(config);
        List<BenchEntry> entries = [];
        void Add(BenchEntry entry)
        {
            entries.Add(entry);
            show(entry);
        }

        int reserved = settings.StaticModelLenOf(config);
        Workload all = settings.Workload;
        Workload few = all.Take(settings.StaticRequests);
        string whereAll = $"{model}, {all.Name}, {all.Requests.Count} requests";
        string whereFew = $"{model}, {all.Name}, first {few.Requests.Count} requests";
        // Prompts are repeated here: whoever had them cached would not compute them.
        EngineOptions options = settings.Engine with { EnablePrefixCaching = false, Scheduler = EngineOptions.ContinuousScheduler, MaxModelLen = reserved };
        WorkloadRun continuousAll;
        WorkloadRun continuousFew;
        BatchSweep sweep;
        EngineOptions sameCache;
        DeviceDescription device;
        using (ServingContext context = ServingContext.Open(options))
        {
            device = context.Engine.Capabilities.Device;
            MemoryStats memory = context.Llm.Memory;
            sameCache = options with { Scheduler = EngineOptions.StaticScheduler, KvCacheMemoryBytes = (memory.TotalBlocks + 1) * memory.BlockBytes, NumBlocksOverride = null };
            WorkloadRun.WarmUp(context, all);
            continuousAll = WorkloadRun.AllAtOnce(context, all);
            Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereAll}", continuousAll.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
            continuousFew = WorkloadRun.AllAtOnce(context, few);
            Add(BenchEntry.Of($"output tokens a second, continuous batching, {whereFew}", continuousFew.OutputTokensPerSecond, "tok/s", Better.Higher));
            sweep = new BatchSweep(model, all.Name, [.. settings.Batches.Select(batch => PointOf(context, all, batch))]);
        }

        Static(all.LongestRequest, all, continuousAll, "rows for the longest request", whereAll);
        Static(reserved, few, continuousFew, $"rows of {reserved} tokens", whereFew);
        foreach (BenchEntry entry in sweep.Entries())
        {
            Add(entry);
        }

        return (Provenance.Report("batching", device, command, entries), sweep);

        void Static(int rowTokens, Workload workload, WorkloadRun continuous, string rows, string where)
        {
            using ServingContext context = ServingContext.Open(sameCache with { MaxModelLen = rowTokens });
            MemoryStats memory = context.Llm.Memory;
            int rowBlocks = (rowTokens + memory.BlockSize - 1) / memory.BlockSize;
            Add(BenchEntry.Of($"static batching, {rows}, rows that fit, {where}", Math.Min(memory.TotalBlocks / rowBlocks, context.Engine.Capabilities.MaxNumSeqs), "rows", Better.Higher));
            WorkloadRun.WarmUp(context, workload);
            WorkloadRun run = WorkloadRun.AllWaiting(context, workload);
            Add(BenchEntry.Of($"output tokens a second, static batching, {rows}, {where}", run.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
            double ratio = continuous.OutputTokensPerSecond / run.OutputTokensPerSecond;
            Add(BenchEntry.Of($"continuous over static batching, {rows}, {where}", ratio, "x", Better.Higher).AsHeadline());
        }
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
