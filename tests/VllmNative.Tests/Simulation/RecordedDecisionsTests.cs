using VllmNative.Engine;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Simulation;
using VllmNative.Tests.Engine;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Simulation;

/// <summary>
/// An engine is recorded, then simulated with the step times of the record: where time cannot make a difference, every step must be the same, and
/// so must be what each request found cached, and how often it was preempted.
/// </summary>
public sealed class RecordedDecisionsTests(ITestOutputHelper output) : IDisposable
{
    private const double Gib = 1L << 30;

    // Of 8 tokens.
    private const int BlockBytes = 24576;

    private static readonly EngineOptions Small = TestEngines.Tiny with { MaxNumSeqs = 6, NumBlocksOverride = 41, BlockSize = 8, MaxNumBatchedTokens = 64 };

    private readonly TempDirectory _folder = new();

    private string TraceFile => Path.Combine(_folder.Path, "trace.jsonl");

    [Theory]
    [InlineData(PreemptionMode.Recompute, "fcfs", "lru")]
    [InlineData(PreemptionMode.Swap, "fcfs", "lfu")]
    [InlineData(PreemptionMode.Auto, "priority", "length-aware")]
    [InlineData(PreemptionMode.Swap, "shortest-predicted", "lru")]
    public async Task Forks_tiers_prefixes_and_preemptions_are_those_of_the_engine(PreemptionMode mode, string policy, string eviction)
    {
        EngineOptions options = Small with
        {
            RecordTo = TraceFile, PreemptionMode = mode, SchedulingPolicy = policy, EvictionPolicy = eviction, SwapSpace = 30.5 * BlockBytes / Gib, KvOffloadSpace = 60.5 * BlockBytes / Gib,
        };
        long swapOuts;
        using (AsyncLlmEngine engine = AsyncLlmEngine.Create(options))
        {
            // Later rounds find what the first one pushed to the host.
            await ServeAsync(engine, 16, 0);
            await ServeAsync(engine, 16, 5);
            await ServeAsync(engine, 16, 0);
            swapOuts = engine.Core.SwapOuts;
        }

        RecordedTrace trace = TraceReader.Read(TraceFile);
        Assert.Contains(trace.Requests, request => request.Parent is not null);
        RunOutcome run = AssertSame(trace);
        Assert.True(run.Requests.Sum(request => request.Preemptions) > 0, "nothing was preempted");
        Assert.True(run.Requests.Sum(request => request.HostCachedTokens) > 0, "nothing came from the host");
        Assert.True(run.Requests.Sum(request => request.CachedTokens - request.HostCachedTokens) > 0, "nothing was shared");
        // What auto takes is a matter of speed.
        Assert.True(mode == PreemptionMode.Auto || swapOuts > 0 == (mode == PreemptionMode.Swap), $"{swapOuts} were swapped out");
        SimulationReport report = TraceSimulator.Run(TraceFile, new SimulationOptions());
        output.WriteLine($"recorded {report.Recorded}");
        output.WriteLine($"replayed {report.Replayed}");
        Assert.Equal((trace.Steps.Count, trace.Steps.Count), (report.Steps, report.StepsPlannedAlike));
        Assert.Equal(run.Requests.Sum(request => (long)request.HostCachedTokens), report.Recorded.HostHitTokens);
    }

    [Fact]
    public async Task Pins_and_resets_are_repeated()
    {
        int[] pinned = TestEngines.Prompt(77, 50);
        int kept;
        using (AsyncLlmEngine engine = AsyncLlmEngine.Create(Small with { RecordTo = TraceFile }))
        {
            kept = await engine.PinPrefixAsync(pinned, TimeSpan.MaxValue, new RequestScheduling { CacheSalt = "a" }, TestContext.Current.CancellationToken);
            await ServeAsync(engine, 12, 0);
            await engine.GenerateAsync((int[])[.. pinned, 5, 6], Parameters(4, 1), scheduling: new RequestScheduling { CacheSalt = "a" }).LastAsync();
            engine.ResetPrefixCache();
            await engine.GenerateAsync((int[])[.. pinned, 5, 6], Parameters(4, 1), scheduling: new RequestScheduling { CacheSalt = "a" }).LastAsync();
        }

        Assert.Equal(48, kept);
        RecordedTrace trace = TraceReader.Read(TraceFile);
        Assert.Equal([trace.Requests[0].Id, null], trace.Orders.Select(order => order.RequestId));
        Assert.Equal([48, 0], trace.Requests.TakeLast(2).Select(request => request.CachedTokens));
        AssertSame(trace);
        // Without the pin the others push it out.
        RunOutcome without = Replay(trace with { Orders = [trace.Orders[1]] }, out _);
        Assert.True(without.Steps.Count < trace.Steps.Count || without.Unserved > 0, "the pin made no difference");
    }

    [Fact]
    public async Task Who_is_ended_from_outside_ends_at_that_moment()
    {
        using (AsyncLlmEngine engine = AsyncLlmEngine.Create(Small with { RecordTo = TraceFile }))
        {
            Task others = ServeAsync(engine, 8, 0);
            for (int i = 0; i < 6; i++)
            {
                await foreach (RequestOutput some in engine.GenerateAsync(TestEngines.Prompt(500 + i, 30), Parameters(60, 1 + (i % 2))))
                {
                    if (some.Outputs.Max(completion => completion.TokenIds.Count) > 3 * i)
                    {
                        break;
                    }
                }
            }

            await others;
        }

        RecordedTrace trace = TraceReader.Read(TraceFile);
        Assert.Contains(trace.Requests, request => request.OutputLength is > 0 and < 60 && request.MaxTokens == 60);
        AssertSame(trace);
    }

    [Fact]
    public async Task Beams_get_their_rows_and_steps_as_in_the_engine_and_share_no_more_than_there()
    {
        using (AsyncLlmEngine engine = AsyncLlmEngine.Create(Small with { RecordTo = TraceFile, NumBlocksOverride = 129 }))
        {
            SamplingParams three = SamplingParams.Greedy with { UseBeamSearch = true, N = 2, BestOf = 3, MaxTokens = 30 };
            await Task.WhenAll(
                ServeAsync(engine, 6, 0),
                Task.WhenAll(Enumerable.Range(0, 4).Select(i => engine.RunAsync(TestEngines.Prompt(300 + i, 20 + i), three))),
                ServeAsync(engine, 6, 7));
        }

        RecordedTrace trace = TraceReader.Read(TraceFile);
        Assert.Equal([3, 3, 3, 3], trace.Requests.Select(request => request.Beams).Where(beams => beams > 0));
        Assert.All(trace.Requests.Where(request => request.Beams > 0), request => Assert.InRange(request.OutputLength, 1, 30));
        RunOutcome run = Replay(trace, out Scheduler scheduler);
        // A device that repeats the record is lost when a step has other rows or tokens.
        Assert.Equal((trace.Steps.Count, 0), (run.Steps.Count, run.Unserved));
        Assert.All(run.Steps.Zip(trace.Steps), pair => Assert.True(pair.First.UsedBlocks >= pair.Second.UsedBlocks, $"{pair.First.UsedBlocks} blocks, in the engine {pair.Second.UsedBlocks}"));
        Assert.Equal(0, scheduler.Cache.Pool.Used);
    }

    public void Dispose() => _folder.Dispose();

    // Much faster than the engine can serve them; a third of the prompts begin alike, and every fourth has two completions.
    private static Task ServeAsync(AsyncLlmEngine engine, int requests, int seed) => Task.WhenAll(Enumerable.Range(seed, requests).Select(i =>
    {
        int[] prompt = i % 3 == 0 ? [.. TestEngines.Prompt(1, 60), .. TestEngines.Prompt(i, 8 + (i % 11))] : TestEngines.Prompt(1000 + i, 10 + (i * 7 % 60));
        return engine.GenerateAsync(prompt, Parameters(16 + (i * 5 % 48), i % 4 == 0 ? 2 : 1), scheduling: new RequestScheduling { Priority = i % 5 }).LastAsync().WaitAsync(TestEngines.Limit);
    }));

    private static SamplingParams Parameters(int maxTokens, int n) => new() { MaxTokens = maxTokens, Temperature = 1, Seed = 3, N = n, IgnoreEos = true };

    private static RunOutcome Replay(RecordedTrace trace, out Scheduler scheduler)
    {
        var engine = new VirtualEngine(trace.Header, new RecordedDevice(trace), trace.Requests, trace.Orders);
        scheduler = engine.Scheduler;
        return engine.Run();
    }

    private RunOutcome AssertSame(RecordedTrace trace)
    {
        Assert.True(trace.HasAllSteps);
        RunOutcome run = Replay(trace, out Scheduler scheduler);
        output.WriteLine($"{run.Steps.Count} steps, {scheduler.Preemptions} preemptions, {scheduler.SwapOuts} swapped, {scheduler.Tier?.Onloaded} blocks from the host");
        int alike = run.Steps.Zip(trace.Steps).TakeWhile(pair => pair.First == StepOutcome.Of(pair.Second)).Count();
        Assert.True(alike == trace.Steps.Count, $"step {alike + 1} of {trace.Steps.Count} differs: {trace.Steps[Math.Min(alike, trace.Steps.Count - 1)].Load}");
        Assert.Equal(Counts(trace.Requests.Select(RequestOutcome.Of)), Counts(run.Requests));
        return run;
    }

    // What was decided for each request.
    private static IEnumerable<object> Counts(IEnumerable<RequestOutcome> requests) => requests.OrderBy(request => request.Arrived)
        .Select(request => (request.Arrived, request.PromptLength, request.OutputLength, request.CachedTokens, request.HostCachedTokens, request.Preemptions)).Cast<object>();
}
