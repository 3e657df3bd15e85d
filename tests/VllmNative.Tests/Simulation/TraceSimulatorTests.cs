using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Simulation;
using VllmNative.Tests.Engine;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Performance;
using VllmNative.Tests.Recording;
using Xunit;

namespace VllmNative.Tests.Simulation;

/// <summary>Replays of recorded runs.</summary>
[Collection(nameof(PerformanceCollection))]
public sealed class TraceSimulatorTests(ITestOutputHelper output) : IDisposable
{
    // Simulated against measured, on machines where other processes come and go.
    private const double Bound = 0.4;

    private readonly TempDirectory _folder = new();

    private string TraceFile => Path.Combine(_folder.Path, "trace.jsonl");

    [Fact]
    public async Task A_replay_says_what_was_measured()
    {
        await RecordAsync(TestEngines.Tiny with { RecordTo = TraceFile, MaxNumSeqs = 8, NumBlocksOverride = 49, BlockSize = 8, MaxNumBatchedTokens = 128 }, requests: 64);
        SimulationReport report = TraceSimulator.Run(TraceFile, new SimulationOptions());
        output.WriteLine($"recorded {report.Recorded}");
        output.WriteLine($"replayed {report.Replayed}");
        Assert.Null(report.Changed);
        Assert.Equal((0, 0L, 0L, 64), (report.LeftOut, report.DroppedSteps, report.DroppedRequests, report.Recorded.Requests));
        Assert.Equal(report.Recorded.OutputTokens, report.Replayed.OutputTokens);
        AssertNear(report.Recorded.OutputTokensPerSecond, report.Replayed.OutputTokensPerSecond, Bound);
        AssertNear(report.Recorded.TimePerOutputToken.P50, report.Replayed.TimePerOutputToken.P50, Bound);
        AssertNear(report.Recorded.PrefixHitTokens, report.Replayed.PrefixHitTokens, 0.25);
        AssertNear(report.Recorded.PeakKvUse, report.Replayed.PeakKvUse, 0.1);
        Assert.True(report.Recorded.Preemptions > 3, $"{report.Recorded.Preemptions} preemptions");
        AssertNear(report.Recorded.Preemptions, report.Replayed.Preemptions, Bound);
    }

    [Fact]
    public void The_same_trace_gives_the_same_run()
    {
        RecordedTrace trace = Synthetic();
        RunOutcome first = Replay(trace);
        RunOutcome again = Replay(trace);
        Assert.Equal(first.Requests, again.Requests);
        Assert.Equal(first.Steps, again.Steps);
        Assert.Equal(ServingFigures.Of(first), ServingFigures.Of(again));
    }

    [Fact]
    public void Equal_hashes_are_equal_blocks()
    {
        // One at a time, the second begins like the first and its output; the third has another salt.
        RecordedTrace trace = TraceText.Parse(
            TraceText.Header,
            TraceText.Step(1, 0),
            TraceText.Request(1, 0, prompt: 9, output: 8, blocks: [1, 2, 3, 4]),
            TraceText.Request(2, 10, prompt: 17, output: 2, blocks: [1, 2, 3, 4]),
            TraceText.Request(3, 20, prompt: 17, output: 2, blocks: [1, 2, 3, 4], more: ",\"salt\":1"),
            TraceText.Request(4, 30, prompt: 17, output: 2, blocks: [1, 2, 9, 4]));
        SimulationReport report = TraceSimulator.Run(trace, new SimulationOptions { PrefixCaching = false });
        // Its whole output but the last token was computed.
        Assert.Equal((16 + 0 + 8, 0L), (report.Replayed.PrefixHitTokens, report.Changed!.PrefixHitTokens));
        Assert.Equal(24 / 60.0, report.Replayed.PrefixHitRate, 9);
    }

    [Fact]
    public void Under_priority_the_urgent_wait_less()
    {
        RecordedTrace trace = Synthetic();
        double[] urgent = [.. new[] { "fcfs", "priority" }.Select(policy =>
        {
            TraceHeader header = new SimulationOptions { SchedulingPolicy = policy }.Apply(trace.Header);
            RunOutcome run = Replay(trace with { Header = header });
            // Urgent prompts are the ones of 13 tokens.
            return run.Requests.Where(request => request.PromptLength == 13).Average(request => request.FirstToken - request.Arrived);
        })];
        output.WriteLine($"mean TTFT of urgent requests: fcfs {urgent[0]:0.000} s, priority {urgent[1]:0.000} s");
        Assert.True(urgent[1] < 0.25 * urgent[0], $"fcfs {urgent[0]}, priority {urgent[1]}");
    }

    [Fact]
    public void Other_settings_change_what_they_should()
    {
        RecordedTrace trace = Synthetic();
        ServingFigures With(SimulationOptions changes) => TraceSimulator.Run(trace, changes).Changed!;
        ServingFigures recorded = TraceSimulator.Run(trace, new SimulationOptions()).Replayed;
        Assert.True(recorded.PrefixHitTokens > 0);
        Assert.Equal(0, recorded.Preemptions);
        Assert.True(With(new SimulationOptions { NumBlocks = 14 }).Preemptions > 0);
        Assert.Equal(0, With(new SimulationOptions { PrefixCaching = false }).PrefixHitTokens);
        Assert.True(With(new SimulationOptions { MaxNumSeqs = 1 }).OutputTokensPerSecond < 0.6 * recorded.OutputTokensPerSecond);
        Assert.True(With(new SimulationOptions { MaxNumBatchedTokens = 8 }).Steps > recorded.Steps);
        ServingFigures swapping = With(new SimulationOptions { NumBlocks = 14, SwapSpace = 0.001, PreemptionMode = "swap" });
        Assert.True(swapping.Preemptions > 0 && swapping.OutputTokens == recorded.OutputTokens);
        Assert.NotEqual(recorded, With(new SimulationOptions { TargetInterTokenLatency = 0.000001 }));
    }

    [Fact]
    public void Completions_of_a_prompt_share_its_blocks()
    {
        ServingFigures With(string more) => TraceSimulator.Run(
            TraceText.Parse(
                TraceText.Header,
                TraceText.Step(1, 0),
                TraceText.Request(1, 0, prompt: 42, output: 10, blocks: Blocks(52, 1)),
                TraceText.Request(2, 0, prompt: 42, output: 10, blocks: Blocks(52, 2), more: more),
                TraceText.Request(3, 0, prompt: 42, output: 10, blocks: Blocks(52, 3), more: more)),
            new SimulationOptions()).Replayed;
        // 41 tokens for each: the last one of the prompt is computed again, since its logits are wanted.
        (ServingFigures forks, ServingFigures apart) = (With(",\"parent\":1"), With(""));
        Assert.Equal((82, 0), (forks.PrefixHitTokens, apart.PrefixHitTokens));
        Assert.True(forks.PeakKvUse < 0.6 * apart.PeakKvUse, $"{forks.PeakKvUse} against {apart.PeakKvUse}");
        // Whose first completion is missing stands alone.
        Assert.Equal(apart, With(",\"parent\":9"));
    }

    [Fact]
    public void Beams_hold_as_many_rows_as_there_are_beams()
    {
        ServingFigures With(string more) => TraceSimulator.Run(
            TraceText.Parse(TraceText.Header, TraceText.Step(1, 0), TraceText.Request(1, 0, 9, 10, Blocks(9, 1), more: more), TraceText.Request(2, 0.001, 9, 10, Blocks(19, 2))),
            new SimulationOptions()).Replayed;
        // There are four rows: the second request waits for two of four beams, and runs beside three.
        (ServingFigures four, ServingFigures three) = (With(",\"beams\":4"), With(",\"beams\":3"));
        Assert.Equal((20, 10, 20, 20), (four.Steps, three.Steps - 1, four.OutputTokens, three.OutputTokens));
        var narrow = Assert.Throws<VllmException>(() => TraceSimulator.Run(
            TraceText.Parse(TraceText.Header, TraceText.Step(1, 0), TraceText.Request(1, 0, 9, 10, Blocks(9, 1), more: ",\"beams\":4")), new SimulationOptions { MaxNumSeqs = 3 }));
        Assert.Equal("simulation: request 1 has 4 beams, which need as many rows; there are 3 (MaxNumSeqs)", narrow.Message);
    }

    [Fact]
    public void The_host_brings_back_what_the_device_gave_up_and_its_speed_counts()
    {
        // The third begins like the first, whose blocks the second one needs: 15 blocks there are, of 1 KiB.
        RecordedTrace trace = TraceText.Parse(
            TraceText.Header.Replace("\"num_blocks\":64", "\"num_blocks\":16", StringComparison.Ordinal),
            TraceText.Step(1, 0),
            TraceText.Request(1, 0, prompt: 41, output: 8, blocks: Blocks(49, 1)),
            TraceText.Request(2, 10, prompt: 41, output: 16, blocks: Blocks(57, 2)),
            TraceText.Request(3, 20, prompt: 41, output: 2, blocks: Blocks(43, 1)));
        const double space = 20 * 1024 / (double)(1 << 30);
        ServingFigures With(double bandwidth) => TraceSimulator.Run(trace, new SimulationOptions { KvOffloadSpace = space, HostBandwidth = bandwidth }).Changed!;
        (ServingFigures fast, ServingFigures slow) = (With(1), With(0.001));
        // The first block was the last to give way, and never had to.
        Assert.Equal((12, 16), (fast.HostHitTokens, fast.PrefixHitTokens));
        // Three blocks take 3 milliseconds at a megabyte a second.
        Assert.Equal(fast.HostHitTokens, slow.HostHitTokens);
        Assert.InRange(slow.Seconds - fast.Seconds, 0.0025, 0.0035);
        Assert.Equal(0, TraceSimulator.Run(trace, new SimulationOptions { HostBandwidth = 1 }).Changed!.HostHitTokens);
        Assert.Equal(0, TraceSimulator.Run(trace, new SimulationOptions { KvOffloadSpace = space, PrefixCaching = false }).Changed!.PrefixHitTokens);
        Assert.Throws<VllmException>(() => With(0));
    }

    [Fact]
    public void Pins_keep_what_others_would_push_out()
    {
        ServingFigures With(params string[] orders) => TraceSimulator.Run(
            TraceText.Parse([
                TraceText.Header.Replace("\"num_blocks\":64", "\"num_blocks\":16", StringComparison.Ordinal),
                TraceText.Step(1, 0),
                TraceText.Request(1, 0, prompt: 16, output: 1, blocks: Blocks(17, 1)),
                TraceText.Request(2, 10, prompt: 41, output: 4, blocks: Blocks(45, 2)),
                TraceText.Request(4, 13, prompt: 41, output: 4, blocks: Blocks(45, 4)),
                TraceText.Request(3, 20, prompt: 17, output: 2, blocks: Blocks(19, 1)),
                .. orders,
            ]),
            new SimulationOptions()).Replayed;
        Assert.Equal(0, With().PrefixHitTokens);
        Assert.Equal(16, With("{\"pin\":1,\"at\":5,\"time_to_live\":100}").PrefixHitTokens);
        // It has ended; it was for a request that the trace lacks; everything was forgotten.
        Assert.Equal(0, With("{\"pin\":1,\"at\":5,\"time_to_live\":4}").PrefixHitTokens);
        Assert.Equal(0, With("{\"pin\":9,\"at\":5,\"time_to_live\":100}").PrefixHitTokens);
        Assert.Equal(0, With("{\"pin\":1,\"at\":5,\"time_to_live\":100}", "{\"reset\":18}").PrefixHitTokens);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Steps_follow_the_clock(int stepsInFlight)
    {
        // Each step takes 10 ms, and between two the host takes 2.
        RecordedTrace trace = TraceText.Parse(
            [
                TraceText.Header.Replace("\"steps_in_flight\":1", $"\"steps_in_flight\":{stepsInFlight}", StringComparison.Ordinal),
                .. Enumerable.Range(1, 60).Select(i => TraceText.Step(i, 0.012 * i, kvTokens: 1 + (i % 20))),
                TraceText.Request(1, 5, prompt: 1, output: 11, blocks: [1, 2, 3]),
            ]);
        ServingFigures figures = TraceSimulator.Run(trace, new SimulationOptions()).Replayed;
        double step = stepsInFlight == 1 ? 0.012 : 0.010;
        Assert.Equal(0.012, figures.TimeToFirstToken.P50, 4);
        Assert.Equal(step, figures.TimePerOutputToken.P50, 4);
        Assert.Equal(step, figures.InterTokenLatency.P99, 4);
        Assert.Equal(0.012 + (10 * step), figures.EndToEnd.P50, 4);
    }

    [Fact]
    public void Static_rows_are_replayed_whole()
    {
        // Two rows of 8 blocks, 63 blocks in all; one prompt could be shared.
        RecordedTrace trace = TraceText.Parse(
            TraceText.Header.Replace("\"static_row_tokens\":0", "\"static_row_tokens\":31", StringComparison.Ordinal),
            TraceText.Step(1, 0),
            TraceText.Request(1, 0, prompt: 9, output: 8, blocks: [1, 2, 3, 4]),
            TraceText.Request(2, 0, prompt: 9, output: 8, blocks: [1, 2, 3, 4]));
        ServingFigures figures = TraceSimulator.Run(trace, new SimulationOptions()).Replayed;
        Assert.Equal((16 / 63.0, 16), (figures.PeakKvUse, figures.OutputTokens));
        RecordedTrace longer = trace with { Header = trace.Header with { StaticRowTokens = 15 } };
        Assert.Equal(
            "simulation: request 1 computes 16 tokens, a static row holds 15 (NumBlocks)",
            Assert.Throws<VllmException>(() => TraceSimulator.Run(longer, new SimulationOptions())).Message);
        var none = Assert.Throws<VllmException>(() => TraceSimulator.Run(trace, new SimulationOptions { NumBlocks = 8 }));
        Assert.Equal("simulation: 2 requests wait and none can be computed with 8 KV blocks (NumBlocks)", none.Message);
    }

    [Fact]
    public void What_cannot_be_simulated_is_said()
    {
        RecordedTrace trace = Synthetic();
        var small = Assert.Throws<VllmException>(() => TraceSimulator.Run(trace, new SimulationOptions { NumBlocks = 3 }));
        Assert.Equal("simulation: request 1 computes 29 tokens, the KV cache holds 8 (NumBlocks)", small.Message);
        var options = Assert.Throws<VllmException>(() => TraceSimulator.Run(trace, new SimulationOptions
        {
            SchedulingPolicy = "x", EvictionPolicy = "y", PreemptionMode = "z", MaxNumSeqs = 0, MaxNumBatchedTokens = 0, NumBlocks = 1, SwapSpace = -1, TargetInterTokenLatency = -1,
            KvOffloadSpace = -1, HostBandwidth = double.NaN,
        }));
        Assert.Equal(10, options.Message.Split("; ").Length);
        Assert.Contains("MaxNumSeqs is 0, expected 1..65536", options.Message, StringComparison.Ordinal);
        var host = Assert.Throws<VllmException>(() => TraceSimulator.Run(trace with { Header = trace.Header with { BlockSize = 256 } }, new SimulationOptions { KvOffloadSpace = 1, NumBlocks = 2 }));
        Assert.StartsWith("simulation options: 2 blocks and 1048576 of the prefix cache in host memory hold 268435968 tokens, expected at most ", host.Message, StringComparison.Ordinal);
        Assert.Equal("the trace has no step that says how long steps take", Assert.Throws<VllmException>(() =>
            TraceSimulator.Run(TraceText.Parse(TraceText.Header, TraceText.Request(1, 0, 1, 1, [])), new SimulationOptions())).Message);
        Assert.Equal("the trace has no request with output", Assert.Throws<VllmException>(() =>
            TraceSimulator.Run(TraceText.Parse(TraceText.Header, TraceText.Step(1, 0)), new SimulationOptions())).Message);
        // A thousand such requests would have room for a thousand million tokens.
        string[] many = [.. Enumerable.Range(1, 300).Select(i => TraceText.Request(i, 0, 1, 1, [], maxTokens: 1 << 20))];
        RecordedTrace large = TraceText.Parse([TraceText.Header.Replace("\"num_blocks\":64", "\"num_blocks\":1000000", StringComparison.Ordinal), TraceText.Step(1, 0), .. many]);
        Assert.StartsWith("simulation: the requests that wait at 0 s have room for ", Assert.Throws<VllmException>(() => TraceSimulator.Run(large, new SimulationOptions())).Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    // Hashes of so many tokens' blocks, of a sequence of its own.
    private static ulong[] Blocks(int tokens, int sequence) => [.. Enumerable.Range(0, tokens / 4).Select(block => (ulong)((1000 * sequence) + block))];

    private static RunOutcome Replay(RecordedTrace trace) => new VirtualEngine(trace.Header, new PredictedDevice(new StepTimes(trace), trace.Header.BlockBytes, 1e9), trace.Requests, trace.Orders).Run();

    // More than the engine can do at once for a while; every eighth request is urgent, and half share their beginning.
    private static RecordedTrace Synthetic()
    {
        string[] steps = [.. Enumerable.Range(1, 80).Select(i => i % 3 == 0
            ? TraceText.Step(i, 0.03 * i, 0.02 + (i % 5 * 0.001), rows: 3, decodeRows: 2, prefillTokens: 10 + i)
            : TraceText.Step(i, 0.03 * i, 0.01 + (i % 7 * 0.001), rows: 1 + (i % 4), decodeRows: 1 + (i % 4), kvTokens: 10 + (i * 7 % 60)))];
        string[] requests = [.. Enumerable.Range(1, 64).Select(i =>
        {
            bool urgent = i % 8 == 0;
            int prompt = urgent ? 13 : 20;
            ulong[] blocks = [.. Enumerable.Range(0, (prompt + 10) / 4).Select(block => (ulong)(i % 2 == 0 && block < 3 ? block + 1 : (100 * i) + block))];
            return TraceText.Request(i, 0.01 * i, prompt, 10, blocks).Replace("\"priority\":0", urgent ? "\"priority\":-5" : "\"priority\":5", StringComparison.Ordinal);
        })];
        return TraceText.Parse([TraceText.Header, .. steps, .. requests]);
    }

    // Much faster than the engine can serve them, so that time decides little; a third of the prompts begin alike.
    private static async Task RecordAsync(EngineOptions options, int requests)
    {
        using AsyncLlmEngine engine = AsyncLlmEngine.Create(options with { RecordTo = null });
        await Task.WhenAll(Enumerable.Range(0, 16).Select(i => engine.RunAsync(TestEngines.Prompt(900 + i, 20), Parameters(40))));
        using AsyncLlmEngine recorded = AsyncLlmEngine.Create(options);
        List<Task> running = [];
        for (int i = 0; i < requests; i++)
        {
            int[] prompt = i % 3 == 0 ? [.. TestEngines.Prompt(1, 24), .. TestEngines.Prompt(i, 8 + (i % 11))] : TestEngines.Prompt(1000 + i, 10 + (i * 7 % 60));
            running.Add(recorded.RunAsync(prompt, Parameters(16 + (i * 5 % 48))));
        }

        await Task.WhenAll(running);
    }

    private static SamplingParams Parameters(int maxTokens) => new() { MaxTokens = maxTokens, Temperature = 0, IgnoreEos = true };

    private static void AssertNear(double expected, double actual, double bound) =>
        Assert.True(Math.Abs(actual - expected) <= bound * expected, $"{actual} is not within {bound:P0} of {expected}");
}
