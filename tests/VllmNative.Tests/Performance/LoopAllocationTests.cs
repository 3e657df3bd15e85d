using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Performance;

/// <summary>
/// The gate on the hot loop: what the engine thread and the device thread allocate on the managed heap, by
/// GC.GetAllocatedBytesForCurrentThread on these threads themselves. Readers, the pump that wakes them and callers that
/// submit run on other threads and are not counted.
/// </summary>
[Collection(nameof(PerformanceCollection))]
public sealed class LoopAllocationTests(ITestOutputHelper output)
{
    private const int Rows = 64;
    private const int Steps = 1000;
    private const int MaxBytesOfChange = 1024;

    // Short prompts, 8 tokens in a block: each row takes a new block every eighth step.
    private const int BlockSize = 8;

    [Theory]
    [InlineData(Rows, Steps, false)]
    [InlineData(Rows, Steps, true)]
    [InlineData(256, 300, false)]
    public async Task StepsThatOnlyDecode_AllocateNothing(int rows, int steps, bool recorded)
    {
        using Loops loops = Start(recorded, rows);
        // Longer than the compilers need, and through every path that the measured run takes.
        await loops.GenerateAsync(rows, _ => 6 * steps / 10);
        long blocksBefore = loops.Engine.Memory.PeakBlocks;
        loops.Meters.Reset();
        await loops.GenerateAsync(rows, _ => steps + 16);

        Assert.True(loops.Engine.Memory.PeakBlocks > blocksBefore, "no block table grew beyond the warm-up's");
        AllocationCount engine = loops.Meters.Engine.Steady;
        AllocationCount device = loops.Meters.Device.Steady;
        output.WriteLine($"engine thread: {engine}; device thread: {device}");
        Assert.True(engine.Iterations >= steps, $"only {engine.Iterations} steady iterations of the engine loop");
        Assert.True(device.Iterations >= steps, $"only {device.Iterations} steady steps of the device");
        Assert.True(engine.Bytes == 0, $"the engine thread allocated: {engine}");
        Assert.True(device.Bytes == 0, $"the device thread allocated: {device}");
    }

    // Counted is each iteration of the engine's loop that took or awaited a message (a request, a cancellation), admitted or
    // ended a request, and each device step that starts a request; the bytes are all that the thread allocated in that iteration, and the largest counts, not the mean.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task StepsThatAdmitOrFinish_StayUnderOneKibibyte(bool recorded)
    {
        using Loops loops = Start(recorded);
        await loops.GenerateAsync(4 * Rows, i => 2 + (i % 23));
        loops.Meters.Reset();
        await loops.GenerateAsync(8 * Rows, i => 2 + (i % 37));

        AllocationCount engine = loops.Meters.Engine.Changing;
        AllocationCount device = loops.Meters.Device.Changing;
        output.WriteLine($"engine thread: {engine}, mean {engine.Mean:F0}; device thread: {device}, mean {device.Mean:F0}");
        Assert.True(engine.Iterations >= 37, $"only {engine.Iterations} iterations admitted or finished a request");
        Assert.True(device.Iterations >= 20, $"only {device.Iterations} steps started a request");
        Assert.True(engine.Largest < MaxBytesOfChange, $"the engine thread allocated: {engine}");
        Assert.True(device.Largest < MaxBytesOfChange, $"the device thread allocated: {device}");
    }

    private static Loops Start(bool recorded, int rows = Rows)
    {
        var meters = new LoopMeters();
        TempDirectory? folder = recorded ? new TempDirectory() : null;
        return new Loops(meters, folder, AsyncLlmEngine.Create(new EngineOptions
        {
            RecordTo = folder is null ? null : Path.Combine(folder.Path, "trace.jsonl"),
            Model = TestAssets.Path("models", "tiny", "llama3-rope"),
            MaxNumSeqs = rows,
            BlockSize = BlockSize,
            NumBlocksOverride = (rows * 1024 / BlockSize) + 1,
            Meters = meters,
        }));
    }

    private sealed record Loops(LoopMeters Meters, TempDirectory? Folder, AsyncLlmEngine Engine) : IDisposable
    {
        /// <summary>Runs requests at the same time, each with a reader of its own.</summary>
        internal Task GenerateAsync(int count, Func<int, int> maxTokens) =>
            Task.WhenAll(Enumerable.Range(0, count).Select(i => Task.Run(async () =>
            {
                int[] prompt = [.. Enumerable.Range(0, 1 + (i % 5)).Select(t => 3 + ((31 * i) + t) % 1500)];
                RequestOutput? last = null;
                await foreach (RequestOutput part in Engine.GenerateAsync(prompt, Sampling(i, maxTokens(i))))
                {
                    last = part;
                }

                Assert.Equal(FinishReason.Length, last!.Outputs[0].FinishReason);
            })));

        public void Dispose()
        {
            Engine.Dispose();
            Folder?.Dispose();
        }

        // Every kind of sampling stands beside the others in the batch.
        private static SamplingParams Sampling(int i, int maxTokens)
        {
            var common = new SamplingParams { MaxTokens = maxTokens, IgnoreEos = true, Seed = i };
            return (i % 7) switch
            {
                0 => common with { Temperature = 0 },
                1 => common with { Temperature = 0.8f, TopK = 40, TopP = 0.9f },
                2 => common with { Temperature = 1.1f, RepetitionPenalty = 1.1f, TopP = 0.95f },
                3 => common with { Temperature = 0.7f, PresencePenalty = 0.5f, FrequencyPenalty = 0.3f, TopK = 100 },
                6 => common with
                {
                    AllowedTokenIds = [.. Enumerable.Range(10, 400)],
                    LogitBias = new Dictionary<int, float> { [20] = 3 },
                    RepetitionDetection = new RepetitionDetection { MaxPatternSize = 4, MinCount = 1000 },
                },
                4 => common with { Temperature = 1, MinP = 0.05f, Logprobs = 3 },
                _ => common with { Temperature = 1, StopTokenIds = [7], MinTokens = maxTokens },
            };
        }
    }
}
