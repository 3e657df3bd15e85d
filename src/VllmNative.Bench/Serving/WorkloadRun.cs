using VllmNative.Diagnostics;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Bench.Serving;

/// <summary>A workload that an engine has run, from its first request to the end of its last.</summary>
internal sealed record WorkloadRun
{
    private const int WarmUpRequests = 32;
    private const int WarmUpTokens = 8;
    private const int ArrivalSeed = 1;

    /// <summary>Of each request, in the workload's order.</summary>
    internal required IReadOnlyList<RequestOutput> Outputs { get; init; }

    internal required int OutputTokens { get; init; }

    internal required double Seconds { get; init; }

    /// <summary>How often a request's blocks went to the host.</summary>
    internal required long Swapped { get; init; }

    /// <summary>How often a request lost its blocks and was computed again.</summary>
    internal required long Recomputed { get; init; }

    internal double OutputTokensPerSecond => OutputTokens / Seconds;

    /// <summary>The first requests, briefly, so that nothing happens for the first time when it is measured; leaves no cached prefix.</summary>
    /// <returns>How many they were.</returns>
    internal static int WarmUp(ServingContext context, Workload workload)
    {
        int count = AllAtOnce(context, workload.Take(WarmUpRequests).Shorten(WarmUpTokens)).Outputs.Count;
        context.Engine.ResetPrefixCache();
        return count;
    }

    /// <summary>Hands in all requests at once: the engine's scheduler says who runs.</summary>
    internal static WorkloadRun AllAtOnce(ServingContext context, Workload workload) => Measure(context, workload, requests => Generate(context, requests));

    /// <summary>
    /// Hands in all requests before any of them may run: a static batch is filled from those who wait, and must not begin with the first few.
    /// Time counts from when they may.
    /// </summary>
    internal static WorkloadRun AllWaiting(ServingContext context, Workload workload)
    {
        Scheduler scheduler = context.Engine.Core.Scheduler;
        int most = scheduler.MostRunning;
        scheduler.MostRunning = 0;
        Task<WorkloadRun> running = Task.Run(() => AllAtOnce(context, workload));
        // One that fails says why below.
        while (scheduler.WaitingCount < workload.Requests.Count && !running.IsCompleted)
        {
            Thread.Sleep(1);
        }

        long from = TimeProvider.System.GetTimestamp();
        scheduler.MostRunning = most;
        // Any message wakes the engine.
        context.Engine.ResetPrefixCache();
        WorkloadRun run = running.GetAwaiter().GetResult();
        return run with { Seconds = TimeProvider.System.GetElapsedTime(from, run.Outputs.Max(output => output.Timings.LastToken)).TotalSeconds };
    }

    /// <summary>Hands in one request after the other, at random moments, the same in every run, that come so often a second in the mean.</summary>
    internal static WorkloadRun Arriving(ServingContext context, Workload workload, double perSecond) =>
        Measure(context, workload, requests => ArrivingAsync(context, requests, perSecond).GetAwaiter().GetResult());

    private static async Task<RequestOutput[]> ArrivingAsync(ServingContext context, (Prompt Prompt, SamplingParams Parameters)[] requests, double perSecond)
    {
        var random = new Random(ArrivalSeed);
        long start = TimeProvider.System.GetTimestamp();
        double arrival = 0;
        List<Task<RequestOutput>> running = [];
        foreach ((Prompt prompt, SamplingParams parameters) in requests)
        {
            arrival -= Math.Log(1 - random.NextDouble()) / perSecond;
            TimeSpan wait = TimeSpan.FromSeconds(arrival) - TimeProvider.System.GetElapsedTime(start);
            await Task.Delay(wait > TimeSpan.Zero ? wait : TimeSpan.Zero).ConfigureAwait(false);
            running.Add(Task.Run(() => ReadAsync(context, prompt, parameters)));
        }

        return await Task.WhenAll(running).ConfigureAwait(false);
    }

    private static async Task<RequestOutput> ReadAsync(ServingContext context, Prompt prompt, SamplingParams parameters)
    {
        RequestOutput? last = null;
        await foreach (RequestOutput output in context.Engine.GenerateAsync(prompt, parameters).ConfigureAwait(false))
        {
            last = output;
        }

        return last!;
    }

    private static IReadOnlyList<RequestOutput> Generate(ServingContext context, (Prompt Prompt, SamplingParams Parameters)[] requests) =>
        context.Llm.Generate([.. requests.Select(request => request.Prompt)], [.. requests.Select(request => request.Parameters)]);

    private static WorkloadRun Measure(ServingContext context, Workload workload, Func<(Prompt Prompt, SamplingParams Parameters)[], IReadOnlyList<RequestOutput>> run)
    {
        (Prompt Prompt, SamplingParams Parameters)[] requests =
            [.. workload.Requests.Select((request, i) => (RandomPrompts.Create(i, request.Prompt, context.Config.VocabSize), TokenArrivals.ParametersFor(request.Output)))];
        long preempted = context.Engine.Core.Preemptions;
        long swapped = context.Engine.Core.SwapOuts;
        long start = TimeProvider.System.GetTimestamp();
        IReadOnlyList<RequestOutput> outputs = run(requests);
        double seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        for (int i = 0; i < outputs.Count; i++)
        {
            int generated = outputs[i].Outputs[0].TokenIds.Count;
            if (generated != workload.Requests[i].Output)
            {
                throw new VllmException($"request {i} of {workload.Name} ended after {generated} of {workload.Requests[i].Output} tokens: {outputs[i].Error ?? "the engine ended it"}");
            }
        }

        swapped = context.Engine.Core.SwapOuts - swapped;
        return new WorkloadRun
        {
            Outputs = outputs,
            OutputTokens = workload.OutputTokens,
            Seconds = seconds,
            Swapped = swapped,
            Recomputed = context.Engine.Core.Preemptions - preempted - swapped,
        };
    }
}
