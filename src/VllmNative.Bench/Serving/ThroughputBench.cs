using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>A workload's requests, all handed in at once, to the end of the last one.</summary>
internal static class ThroughputBench
{
    // vLLM's usual limit of a server, for what contiguous rows would waste.
    private const int ContiguousRow = 8192;

    /// <param name="settings">What to measure.</param>
    /// <param name="results">Gets the figures.</param>
    internal static BenchReport Run(ThroughputSettings settings, BenchRun results)
    {
        Workload workload = settings.Workload;
        using var context = ServingContext.Create(settings.EngineOptionsFor(), results);
        WorkloadRun.WarmUp(context, workload);
        context.Meters.Reset();
        WorkloadRun run = WorkloadRun.AllAtOnce(context, workload);
        string where = $"{context.Model}, {workload.Name}, {workload.Requests.Count} requests, {context.Engine.Capabilities.MaxNumSeqs} at a time";
        results.AddAll(Entries(context, workload, run, where));
        results.AddAll(Waste(context, workload, where));
        results.AddAll(context.StepCosts(where).Select(entry => entry.AsHeadline(false)));
        return results.Report(context.Engine.Capabilities.Device);
    }

    private static IEnumerable<BenchEntry> Entries(
        ServingContext context, Workload workload, WorkloadRun run, string where)
    {
        double seconds = run.Seconds;
        yield return BenchEntry.Of($"output tokens a second, {where}", run.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline();
        yield return BenchEntry.Of($"all tokens a second, {where}", (workload.PromptTokens + workload.OutputTokens) / seconds, "tok/s", Better.Higher);
        yield return BenchEntry.Of($"requests a second, {where}", workload.Requests.Count / seconds, "req/s", Better.Higher);
        MemoryStats memory = context.Llm.Memory;
        yield return BenchEntry.Of($"KV cache used at most, {where}", 100.0 * memory.PeakBlocks / memory.TotalBlocks, "%", Better.Higher);
        yield return BenchEntry.Of($"preemptions, swapped, {where}", run.Swapped, "requests", Better.Lower);
        yield return BenchEntry.Of($"preemptions, recomputed, {where}", run.Recomputed, "requests", Better.Lower);
        var first = new Distribution(run.Outputs.Select(output => output.Timings.TimeToFirstToken.TotalMilliseconds));
        yield return BenchEntry.Of($"TTFT, {where}", first, "ms", Better.Lower);
        double[] later = [.. run.Outputs.Select(output => output.Timings.TimePerOutputToken(output.Outputs[0].TokenIds.Count).TotalMilliseconds).Where(time => time > 0)];
        if (later.Length > 0)
        {
            yield return BenchEntry.Of($"TPOT, {where}", new Distribution(later), "ms", Better.Lower);
        }
    }

    // The same requests at the same steps, had each reserved its slots in one piece when it came.
    private static IEnumerable<BenchEntry> Waste(ServingContext context, Workload workload, string where)
    {
        if (context.Meters.KvSlots is not { WastedShare: { } share, WastedByExactRows: { } exact } slots)
        {
            yield break;
        }

        yield return BenchEntry.Of($"KV slots wasted, blocks of {context.Llm.Memory.BlockSize}, {where}", 100 * share, "%", Better.Lower).AsHeadline();
        yield return BenchEntry.Of($"KV slots wasted, had each request reserved its final length, {where}", 100 * exact, "%", Better.Lower).AsHeadline();
        int row = Math.Max(ContiguousRow, workload.LongestRequest);
        yield return BenchEntry.Of($"KV slots wasted, had each request reserved {row}, {where}", 100 * slots.WastedByRowsOf(row)!.Value, "%", Better.Lower).AsHeadline();
    }
}
