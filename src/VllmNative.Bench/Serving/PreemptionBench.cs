using VllmNative.Bench.Results;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Bench.Serving;

/// <summary>
/// The same workload in a KV cache that is too small for it, with preempted requests computed again, swapped, and as the engine chooses;
/// and what that choice took prefill and swapping to cost, beside what they took.
/// </summary>
internal sealed class PreemptionBench
{
    private const int Probes = 5;

    private readonly PreemptionSettings _settings;
    private readonly BenchRun _run;
    private readonly string _where;

    private PreemptionBench(PreemptionSettings settings, BenchRun run, string where) => (_settings, _run, _where) = (settings, run, where);

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(PreemptionSettings settings, BenchRun run, CancellationToken cancellation)
    {
        MemoryStats cache;
        PreemptionBench bench;
        double recompute;
        using (ServingContext context = ServingContext.Open(settings.EngineOptionsFor() with { PreemptionMode = PreemptionMode.Recompute, SwapSpace = 0 }))
        {
            cache = context.Engine.Memory;
            string where = $"{context.Model}, {settings.Workload.Name}, {settings.Workload.Requests.Count} requests, {cache.TotalBlocks} KV blocks";
            bench = new PreemptionBench(settings, run, where);
            recompute = bench.Measure(context, "recompute");
        }

        double swap;
        using (ServingContext context = ServingContext.Open(settings.With(PreemptionMode.Swap, cache)))
        {
            swap = bench.Measure(context, "swap");
        }

        using (ServingContext context = ServingContext.Open(settings.With(PreemptionMode.Auto, cache)))
        {
            double auto = bench.Measure(context, "auto");
            run.Add(BenchEntry.Of($"auto over the better of recompute and swap, {bench._where}", auto / Math.Max(recompute, swap), "x", Better.Higher).AsHeadline());
            await bench.CompareWithAssumptionsAsync(context, cancellation).ConfigureAwait(false);
            return run.Report(context.Engine.Capabilities.Device);
        }
    }

    private double Measure(ServingContext context, string mode)
    {
        WorkloadRun.WarmUp(context, _settings.Workload);
        WorkloadRun measured = WorkloadRun.AllAtOnce(context, _settings.Workload);
        _run.Add(BenchEntry.Of($"output tokens a second, preemption by {mode}, {_where}", measured.OutputTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
        _run.Add(BenchEntry.Of($"preemptions, recomputed, preemption by {mode}, {_where}", measured.Recomputed, "requests", Better.Lower));
        _run.Add(BenchEntry.Of($"preemptions, swapped, preemption by {mode}, {_where}", measured.Swapped, "requests", Better.Lower));
        long preempted = measured.Recomputed + measured.Swapped;
        if (preempted > 0)
        {
            _run.Add(BenchEntry.Of($"share of preemptions that are swaps, preemption by {mode}, {_where}", 100.0 * measured.Swapped / preempted, "%", Better.Higher));
        }

        SwapBandwidth swaps = context.Engine.Core.Scheduler.SwapBandwidth;
        if (swaps.TotalBytes > 0)
        {
            _run.Add(BenchEntry.Of($"swap out and in, measured, preemption by {mode}, {_where}", swaps.TotalBytes / swaps.TotalSeconds / 1e9, "GB/s", Better.Higher));
        }

        return measured.OutputTokensPerSecond;
    }

    // The engine is idle here: what it believes does not change meanwhile.
    private async Task CompareWithAssumptionsAsync(ServingContext context, CancellationToken cancellation)
    {
        int tokens = _settings.MeanRequest;
        SwapBandwidth swaps = context.Engine.Core.Scheduler.SwapBandwidth;
        PreemptionCost cost = context.Engine.Core.Scheduler.PreemptionCost;
        _run.Add(BenchEntry.Of($"swap, assumed by auto before the first, {_where}", swaps.AssumedBytesPerSecond / 1e9, "GB/s", Better.Higher));
        _run.Add(BenchEntry.Of($"swap, assumed by auto in the end, {_where}", swaps.BytesPerSecond / 1e9, "GB/s", Better.Higher));
        if (cost.Ready && cost.RecomputeSeconds(tokens, 0) is > 0 and var assumed)
        {
            _run.Add(BenchEntry.Of($"prefill of {tokens} tokens, assumed by auto in the end, {_where}", tokens / assumed, "tok/s", Better.Higher));
        }

        double whole = await FirstTokenSecondsAsync(context, tokens, cancellation).ConfigureAwait(false);
        double least = await FirstTokenSecondsAsync(context, 1, cancellation).ConfigureAwait(false);
        // As auto sees it: what the prompt adds to a step that runs anyway.
        if (whole > least)
        {
            _run.Add(BenchEntry.Of($"prefill of {tokens} tokens, measured alone beyond that of one, {_where}", tokens / (whole - least), "tok/s", Better.Higher));
        }
    }

    private async Task<double> FirstTokenSecondsAsync(ServingContext context, int tokens, CancellationToken cancellation)
    {
        List<double> seconds = [];
        for (int i = 0; i <= Probes; i++)
        {
            // Seeds behind the workload's: nothing of it is cached.
            Prompt prompt = RandomPrompts.Create(_settings.Workload.Requests.Count + i, tokens, context.Config.VocabSize);
            seconds.Add((await TokenArrivals.ReadAsync(context.Engine, prompt, 1, null, cancellation).ConfigureAwait(false)).Timings.TimeToFirstToken.TotalSeconds);
        }

        // The first one warms up.
        return new Distribution(seconds.Skip(1)).Median;
    }
}
