using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>A workload's requests, all handed in at once, to the end of the last one.</summary>
internal static class ThroughputBench
{
    private const int WarmUpRequests = 32;
    private const int WarmUpTokens = 8;

    /// <param name="options">What to load; the context is the workload's longest request where nothing else was said.</param>
    /// <param name="workload">The requests.</param>
    /// <param name="command">The command line, for the report.</param>
    /// <param name="show">Gets each entry as soon as it is there.</param>
    internal static BenchReport Run(EngineOptions options, Workload workload, string command, Action<BenchEntry> show)
    {
        List<BenchEntry> entries = [];
        using var context = ServingContext.Create(options with { MaxModelLen = options.MaxModelLen ?? workload.LongestRequest }, entries);
        Generate(context, workload.Take(WarmUpRequests).Shorten(WarmUpTokens));
        long preempted = context.Engine.Core.Preemptions;
        context.Meters.Reset();
        long start = TimeProvider.System.GetTimestamp();
        IReadOnlyList<RequestOutput> outputs = Generate(context, workload);
        TimeSpan wall = TimeProvider.System.GetElapsedTime(start);
        string where = $"{context.Model}, {workload.Name}, {workload.Requests.Count} requests, {context.Engine.Capabilities.MaxNumSeqs} at a time";
        entries.AddRange(Entries(context, workload, outputs, wall, context.Engine.Core.Preemptions - preempted, where));
        entries.AddRange(context.StepCosts(where).Select(entry => entry.AsHeadline(false)));
        entries.ForEach(show);
        return Provenance.Report("throughput", context.Engine.Capabilities.Device, command, entries);
    }

    private static IEnumerable<BenchEntry> Entries(
        ServingContext context, Workload workload, IReadOnlyList<RequestOutput> outputs, TimeSpan wall, long preemptions, string where)
    {
        double seconds = wall.TotalSeconds;
        yield return BenchEntry.Of($"output tokens a second, {where}", workload.OutputTokens / seconds, "tok/s", Better.Higher).AsHeadline();
        yield return BenchEntry.Of($"all tokens a second, {where}", (workload.PromptTokens + workload.OutputTokens) / seconds, "tok/s", Better.Higher);
        yield return BenchEntry.Of($"requests a second, {where}", workload.Requests.Count / seconds, "req/s", Better.Higher);
        MemoryStats memory = context.Llm.Memory;
        yield return BenchEntry.Of($"KV cache used at most, {where}", 100.0 * memory.PeakBlocks / memory.TotalBlocks, "%", Better.Higher);
        yield return BenchEntry.Of($"preemptions, {where}", preemptions, "requests", Better.Lower);
        var first = new Distribution(outputs.Select(output => output.Timings.TimeToFirstToken.TotalMilliseconds));
        yield return BenchEntry.Of($"TTFT, {where}", first, "ms", Better.Lower);
        double[] later = [.. outputs.Select(output => output.Timings.TimePerOutputToken(output.Outputs[0].TokenIds.Count).TotalMilliseconds).Where(time => time > 0)];
        if (later.Length > 0)
        {
            yield return BenchEntry.Of($"TPOT, {where}", new Distribution(later), "ms", Better.Lower);
        }
    }

    private static IReadOnlyList<RequestOutput> Generate(ServingContext context, Workload workload)
    {
        Prompt[] prompts = [.. workload.Requests.Select((request, i) => RandomPrompts.Create(i, request.Prompt, context.Config.VocabSize))];
        SamplingParams[] parameters = [.. workload.Requests.Select(request => TokenArrivals.ParametersFor(request.Output))];
        IReadOnlyList<RequestOutput> outputs = context.Llm.Generate(prompts, parameters);
        for (int i = 0; i < outputs.Count; i++)
        {
            int generated = outputs[i].Outputs[0].TokenIds.Count;
            if (generated != workload.Requests[i].Output)
            {
                throw new VllmException($"request {i} of {workload.Name} ended after {generated} of {workload.Requests[i].Output} tokens: {outputs[i].Error ?? "the engine ended it"}");
            }
        }

        return outputs;
    }
}
