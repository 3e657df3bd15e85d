using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Steps;
using VllmNative.Tests.Engine;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Recording;

/// <summary>What goes into a trace, and what happens when it cannot.</summary>
public sealed class EngineRecorderTests : IDisposable
{
    private static readonly TraceHeader Header = new()
    {
        Model = "m",
        Device = "cpu",
        NumBlocks = 8,
        BlockSize = 4,
        MaxNumSeqs = 2,
        MaxNumBatchedTokens = 8,
        MaxModelLen = 32,
        SchedulingPolicy = "fcfs",
        EvictionPolicy = "lru",
    };

    private readonly TempDirectory _folder = new();

    private string TraceFile => Path.Combine(_folder.Path, "trace.jsonl");

    [Fact]
    public async Task An_engine_records_its_requests_and_steps_but_neither_tokens_nor_names()
    {
        int[] prompt = [.. TestEngines.Prompt(1, 40)];
        EngineOptions options = TestEngines.Tiny with
        {
            RecordTo = TraceFile,
            SchedulingPolicy = "fair",
            UserWeights = new Dictionary<string, double> { ["alice"] = 3 },
        };
        var parameters = new SamplingParams { MaxTokens = 9, Temperature = 0, IgnoreEos = true };
        using (AsyncLlmEngine engine = AsyncLlmEngine.Create(options))
        {
            await engine.GenerateAsync(prompt, parameters, scheduling: new RequestScheduling { User = "alice", CacheSalt = "secret", Priority = 4 }).LastAsync();
            // The same beginning, the same salt, another one.
            await engine.GenerateAsync((int[])[.. prompt, 5], parameters, scheduling: new RequestScheduling { User = "bob", CacheSalt = "secret" }).LastAsync();
            await engine.GenerateAsync(prompt, parameters, scheduling: new RequestScheduling { CacheSalt = "other" }).LastAsync();
            Assert.Null(engine.RecordingError);
        }

        string text = File.ReadAllText(TraceFile);
        Assert.DoesNotContain("alice", text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        Assert.DoesNotContain(_folder.Path, text, StringComparison.Ordinal);
        RecordedTrace trace = TraceReader.Read(TraceFile);
        Assert.Equal(("llama", 513, 16, "fair", true), (trace.Header.Model, trace.Header.NumBlocks, trace.Header.BlockSize, trace.Header.SchedulingPolicy, trace.Header.PrefixCaching));
        Assert.Equal(3, trace.Requests.Count);
        RecordedRequest first = trace.Requests[0];
        RecordedRequest second = trace.Requests[1];
        RecordedRequest third = trace.Requests[2];
        Assert.Equal((40, 9, 9, 4, 0), (first.PromptLength, first.MaxTokens, first.OutputLength, first.Priority, first.CachedTokens));
        Assert.Equal((41, 32, 0), (second.PromptLength, second.CachedTokens, second.Priority));
        Assert.Equal([new KeyValuePair<string, double>(first.User!, 3)], trace.Header.UserWeights);
        Assert.NotEqual(first.User, second.User);
        Assert.Null(third.User);
        Assert.Equal(first.Salt, second.Salt);
        Assert.NotEqual(first.Salt, third.Salt);
        // 40 + 9 tokens are three full blocks; the third begins to differ in the token behind the prompt.
        Assert.Equal(3, first.Blocks.Length);
        Assert.Equal(first.Blocks[..2], second.Blocks[..2]);
        Assert.NotEqual(first.Blocks[2], second.Blocks[2]);
        Assert.Equal(first.Blocks, third.Blocks);
        Assert.All(trace.Requests, request => Assert.True(request.Arrived <= request.FirstToken && request.FirstToken < request.Ended));
        Assert.Equal(27, trace.Steps.Count);
        Assert.Equal([.. Enumerable.Range(1, 27).Select(id => (long)id)], trace.Steps.Select(step => step.Id));
        Assert.Equal((1, 0, 40), (trace.Steps[0].Load.Rows, trace.Steps[0].Load.DecodeRows, trace.Steps[0].Load.PrefillTokens));
        Assert.All(trace.Steps, step => Assert.True(step.Seconds > 0 && step.UsedBlocks is 3 or 4 && step.Submitted < step.Ended));
        string[] events = [.. File.ReadLines(TraceFile).Select(line => JsonDocument.Parse(line).RootElement).Where(line => line.TryGetProperty("events", out _))
            .SelectMany(line => line.GetProperty("events").EnumerateArray()).Select(happened => happened.ToString())];
        Assert.Equal(["[\"admitted\",1,0]", "[\"finished\",1,9]", "[\"prefix_hit\",2,32]", "[\"admitted\",2,32]", "[\"finished\",2,9]", "[\"admitted\",3,0]"], events);
        using JsonDocument totals = JsonDocument.Parse(File.ReadLines(TraceFile).Last());
        Assert.Equal((27, 3, 0), (Total(totals, "steps"), Total(totals, "requests"), Total(totals, "dropped_steps")));
    }

    [Fact]
    public void Two_traces_of_the_same_prompt_have_other_hashes()
    {
        ulong[] hashes = [.. Enumerable.Range(0, 2).Select(_ => new Pseudonyms().OfBlock([1, 2, 3, 4]))];
        Assert.NotEqual(hashes[0], hashes[1]);
    }

    [Fact]
    public void A_file_that_cannot_be_created_is_named_before_anything_is_loaded()
    {
        string file = Path.Combine(_folder.Path, "missing", "trace.jsonl");
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { RecordTo = file }));
        Assert.StartsWith($"engine options: RecordTo is \"{file}\", which cannot be created: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("RecordTo is empty", Assert.Throws<VllmException>(() => (TestEngines.Tiny with { RecordTo = " " }).Validate()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_finds_the_queue_full_is_dropped_and_counted_and_nobody_waits()
    {
        using var stream = new GatedStream();
        var recorder = new EngineRecorder(stream, "gated", Header, capacity: 4);
        stream.Entered.Wait(TestEngines.Limit);
        var plan = new StepPlan(2, 8);
        var result = new StepResult(2);
        for (int i = 1; i <= 10; i++)
        {
            plan.Clear();
            plan.StepId = i;
            plan.Events.Add(new StepEvent(StepEventKind.Evicted, 0, i));
            recorder.Step(plan, result, 0, 1, 0.5, 3);
        }

        Request[] requests = [.. Enumerable.Range(1, 6).Select(id => new Request(id, [1, 2, 3], SamplingParams.Greedy, 4, [], 4, 0))];
        foreach (Request request in requests)
        {
            recorder.Ended(request, FinishReason.Abort);
        }

        stream.Gate.Set();
        recorder.Dispose();
        string[] lines = stream.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(4, lines.Count(line => line.StartsWith("{\"step\"", StringComparison.Ordinal)));
        Assert.EndsWith("\"events\":[[\"evicted\",0,4]]}", lines[4], StringComparison.Ordinal);
        Assert.StartsWith("""{"totals":{"steps":4,"requests":4,"dropped_steps":6,"dropped_requests":2,""", lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void Events_that_do_not_fit_drop_their_step_whole()
    {
        using var stream = new GatedStream();
        var recorder = new EngineRecorder(stream, "gated", Header, capacity: 4);
        stream.Entered.Wait(TestEngines.Limit);
        var plan = new StepPlan(2, 8) { StepId = 1 };
        for (int i = 0; i < 33; i++)
        {
            plan.Events.Add(new StepEvent(StepEventKind.Evicted, 0, 1));
        }

        recorder.Step(plan, new StepResult(2), 0, 1, 0.5, 3);
        stream.Gate.Set();
        recorder.Dispose();
        Assert.Contains("\"steps\":0,\"requests\":0,\"dropped_steps\":1,", stream.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task When_the_disk_is_full_recording_ends_and_the_engine_goes_on()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "this system has no device that is always full");
        ConcurrentQueue<string> log = new();
        // A log that fails as well changes nothing.
        void Take(string line)
        {
            log.Enqueue(line);
            throw new InvalidOperationException("planned");
        }

        using AsyncLlmEngine engine = AsyncLlmEngine.Create(TestEngines.Tiny with { RecordTo = "/dev/full", Log = Take });
        for (int i = 0; i < 500 && engine.RecordingError is null; i++)
        {
            Assert.Equal(4, (await engine.RunAsync([1, 2, 3], new SamplingParams { MaxTokens = 4, IgnoreEos = true })).Outputs[0].TokenIds.Count);
        }

        Assert.StartsWith("/dev/full: recording has ended, the file cannot be written: ", engine.RecordingError, StringComparison.Ordinal);
        Assert.Equal(4, (await engine.RunAsync([1, 2, 3], new SamplingParams { MaxTokens = 4, IgnoreEos = true })).Outputs[0].TokenIds.Count);
        string? told = engine.RecordingError;
        // Closing the file fails too, which nobody needs to hear.
        engine.Dispose();
        Assert.Equal(told, Assert.Single(log));
    }

    public void Dispose() => _folder.Dispose();

    private static int Total(JsonDocument line, string name) => line.RootElement.GetProperty("totals").GetProperty(name).GetInt32();

    // A disk that takes its time.
    private sealed class GatedStream : MemoryStream
    {
        internal ManualResetEventSlim Entered { get; } = new();

        internal ManualResetEventSlim Gate { get; } = new();

        internal string Text => Encoding.UTF8.GetString(ToArray());

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            Entered.Set();
            Gate.Wait();
            base.Write(buffer);
        }
    }
}
