using VllmNative.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>A workload that an engine has run, from its first request to the end of its last.</summary>
internal sealed record WorkloadRun
{
    private const int WarmUpRequests = 32;
    private const int WarmUpTokens = 8;
    private const int GateTokens = 32;
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
    /// Hands in all requests at once to an engine with the static scheduler while another one keeps it busy: a batch is filled from those
    /// who wait, and must not begin with the first few. Time counts from that one's end.
    /// </summary>
    internal static WorkloadRun AllWaiting(ServingContext context, Workload workload)
    {
        Prompt prompt = RandomPrompts.Create(-1, 1, context.Config.VocabSize);
        int tokens = Math.Clamp(workload.LongestRequest - 1, 1, GateTokens);
        using var running = new ManualResetEventSlim();
        Task<TokenArrivals> gate = Task.Run(() => TokenArrivals.ReadAsync(context.Engine, prompt, tokens, running.Set, CancellationToken.None));
        // One that fails says why below.
        while (!running.Wait(10) && !gate.IsCompleted)
        {
        }

        WorkloadRun run = AllAtOnce(context, workload);
        long from = Math.Max(gate.GetAwaiter().GetResult().Timings.LastToken, run.Outputs.Min(output => output.Timings.Arrived));
        return run with { Seconds = TimeProvider.System.GetElapsedTime(from, run.Outputs.Max(output => output.Timings.LastToken)).TotalSeconds };
    }

    /// <summary>Hands in so many requests, and the next so many when the last of them has ended: a static batch, whatever the scheduler.</summary>
    internal static WorkloadRun InBatches(ServingContext context, Workload workload, int batch) =>
        Measure(context, workload, requests => [.. requests.Chunk(batch).SelectMany(part => Generate(context, part))]);

    /// <summary>Keeps so many requests in the engine: the next comes when one has ended.</summary>
    internal static WorkloadRun OneForOne(ServingContext context, Workload workload, int batch) =>
        Measure(context, workload, requests => OneForOneAsync(context, requests, batch).GetAwaiter().GetResult());

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

    private static async Task<RequestOutput[]> OneForOneAsync(ServingContext context, (Prompt Prompt, SamplingParams Parameters)[] requests, int batch)
    {
        var outputs = new RequestOutput[requests.Length];
        int next = -1;
        async Task WorkAsync()
        {
            for (int i = Interlocked.Increment(ref next); i < requests.Length; i = Interlocked.Increment(ref next))
            {
                outputs[i] = await ReadAsync(context, requests[i].Prompt, requests[i].Parameters).ConfigureAwait(false);
            }
        }

        await Task.WhenAll(Enumerable.Range(0, batch).Select(_ => Task.Run(WorkAsync))).ConfigureAwait(false);
        return outputs;
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
