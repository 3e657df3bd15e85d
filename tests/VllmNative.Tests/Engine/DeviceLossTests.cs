using System.Diagnostics;
using VllmNative.Bindings;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>
/// What becomes of requests, process and other engines when a device is lost. On a GPU each test takes CUDA away from its
/// process, so there each needs a process of its own (tests/gpu/run.sh).
/// </summary>
[Trait("needs", "own process")]
public sealed class DeviceLossTests
{
    // 3 layers of qkv, output, gate-up and down, then the head.
    private const int GemmsOfStep = (3 * 4) + 1;

    private static readonly SamplingParams Plain = new() { Temperature = 0, MaxTokens = 24, IgnoreEos = true };

    private static readonly int[][] Prompts = [.. Enumerable.Range(0, 4).Select(i => TestEngines.Prompt(i, 10 + i))];

    [Fact]
    public async Task A_lost_device_ends_everything_in_words_and_the_process_goes_on()
    {
        var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 2 });
        engine.Hold(50);
        engine.Device.Inject("gemm", 5 * GemmsOfStep, "lost");
        RequestOutput[] outputs = await engine.RunAllAsync(Prompts.Select(prompt => (prompt, Plain)));
        // Two ran, two waited.
        Assert.All(outputs, output => Assert.Equal(FinishReason.Error, output.Outputs[0].FinishReason));
        Assert.All(outputs, output => Assert.Contains("lost", output.Error, StringComparison.Ordinal));
        var dead = Assert.Throws<EngineDeadException>(() => engine.GenerateAsync(Prompts[0], Plain));
        Assert.Contains("lost", dead.Message, StringComparison.Ordinal);
        await engine.AssertAllFreeAsync();
        await Task.Run(engine.Dispose).WaitAsync(TestEngines.Limit);
        engine.Dispose();
        await AssertTheRestWorksAsync();
    }

    [Fact]
    public async Task A_device_that_hangs_past_the_step_timeout_ends_everything_and_the_process_goes_on()
    {
        var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 2, StepTimeout = TimeSpan.FromMilliseconds(300) });
        engine.Hold(50);
        engine.Device.Inject("gemm", 5 * GemmsOfStep, "delay_ms", 3000);
        var watch = Stopwatch.StartNew();
        RequestOutput[] outputs = await engine.RunAllAsync(Prompts.Select(prompt => (prompt, Plain)));
        Assert.InRange(watch.ElapsedMilliseconds, 300, 2500);
        Assert.All(outputs, output => Assert.Contains("the device is lost: a step took longer than 0.3 s (StepTimeout)", output.Error, StringComparison.Ordinal));
        Assert.Throws<EngineDeadException>(() => engine.GenerateAsync(Prompts[0], Plain));
        await Task.Run(engine.Dispose).WaitAsync(TestEngines.Limit);
        await AssertTheRestWorksAsync();
    }

    // On the CPU another engine of the same kind; on a GPU it is refused in words, and the CPU serves on.
    private static async Task AssertTheRestWorksAsync()
    {
        if (TestDevice.Kind == DeviceKind.Cuda)
        {
            var refused = Assert.Throws<NativeException>(() => AsyncLlmEngine.Create(TestEngines.Tiny));
            Assert.Equal(NativeStatus.DeviceLost, refused.Status);
            Assert.Contains("start a new process", refused.Message, StringComparison.Ordinal);
        }

        using var next = AsyncLlmEngine.Create(TestEngines.Tiny with { Device = DeviceKind.Cpu });
        Assert.Equal(24, (await next.RunAsync(Prompts[0], Plain)).Outputs[0].TokenIds.Count);
    }
}
