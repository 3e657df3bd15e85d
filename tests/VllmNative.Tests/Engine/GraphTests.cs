using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Decode steps replayed as graphs against the same steps launched operation by operation; needs a GPU.</summary>
public sealed class GraphTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(21)]
    public async Task Replayed_steps_compute_the_bits_of_eager_ones(int requests)
    {
        Assert.SkipUnless(TestDevice.Kind == DeviceKind.Cuda, "the CPU device records no graphs");
        EngineOptions options = TestEngines.Tiny with { MaxNumSeqs = 24, MaxNumBatchedTokens = 64, Dtype = ModelDtype.BFloat16 };
        RequestOutput[] eager = await RunAsync(options with { EnforceEager = true }, requests);
        RequestOutput[] replayed = await RunAsync(options with { EnforceEager = false }, requests);
        for (int i = 0; i < requests; i++)
        {
            Assert.Equal(eager[i].Outputs[0].TokenIds, replayed[i].Outputs[0].TokenIds);
            Assert.Equal(eager[i].Outputs[0].Logprobs!.Select(l => l.Sampled), replayed[i].Outputs[0].Logprobs!.Select(l => l.Sampled));
        }
    }

    [Fact]
    public void Capabilities_say_whether_steps_are_replayed()
    {
        bool gpu = TestDevice.Kind == DeviceKind.Cuda;
        using var replaying = AsyncLlmEngine.Create(TestEngines.Tiny with { EnforceEager = false });
        Assert.Equal(gpu, replaying.Capabilities.Graphs);
        Assert.Equal(gpu, replaying.Capabilities.Memory.Graphs > 0);
        using var eager = AsyncLlmEngine.Create(TestEngines.Tiny with { EnforceEager = true });
        Assert.False(eager.Capabilities.Graphs);
        Assert.Equal(0, eager.Capabilities.Memory.Graphs);
    }

    private static async Task<RequestOutput[]> RunAsync(EngineOptions options, int requests)
    {
        using var engine = AsyncLlmEngine.Create(options);
        engine.Hold(50);
        return await engine.RunAllAsync(Enumerable.Range(0, requests).Select(i =>
            (TestEngines.Prompt(i, 5 + (3 * i)), new SamplingParams { Temperature = i % 2, Seed = i, MaxTokens = 20 + i, IgnoreEos = true, Logprobs = 0 })));
    }
}
