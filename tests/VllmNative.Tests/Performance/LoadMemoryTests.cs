using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Performance;

/// <summary>Loading converts through a memory map, tensor by tensor: the process never holds the model twice.</summary>
[Collection(nameof(PerformanceCollection))]
public sealed class LoadMemoryTests(ITestOutputHelper output)
{
    // KV cache, activations, logits, tokenizer tables and what the runtime needs to compile the loader.
    private const long FixedOverhead = 48L << 20;

    [Fact]
    public void LoadingABf16Checkpoint_HoldsItOnce()
    {
        Assert.SkipUnless(File.Exists("/proc/self/status"), "the kernel gives no /proc/self/status");
        using var directory = new TempDirectory();
        long weights = SyntheticCheckpoint.Write(directory.Path);
        Assert.InRange(weights, 180L << 20, 260L << 20);

        GC.Collect();
        GC.WaitForPendingFinalizers();
        using var sampler = new ResidentMemorySampler();
        using var llm = new LLM(new EngineOptions
        {
            Model = directory.Path,
            Dtype = ModelDtype.BFloat16,
            KvCacheMemoryBytes = 8 << 20,
            MaxNumSeqs = 4,
            MaxNumBatchedTokens = 64,
        });
        ResidentMemory peak = sampler.Stop();
        output.WriteLine($"weights {weights >> 20} MiB; grew by at most {peak.Anonymous >> 20} MiB anonymous, {peak.Total >> 20} MiB with mapped files, in {sampler.Samples} samples");

        // Loaded for real: the weights make logits.
        RequestOutput answer = llm.Generate(new[] { 1, 2, 3 }, new SamplingParams { Temperature = 0, MaxTokens = 2, IgnoreEos = true });
        Assert.Equal(FinishReason.Length, answer.Outputs[0].FinishReason);
        Assert.True(sampler.Samples >= 10, $"only {sampler.Samples} samples were taken");
        Assert.True(peak.Anonymous > weights, $"{peak.Anonymous} bytes cannot hold {weights} bytes of weights: the measurement is broken");
        long limit = (weights * 5 / 4) + FixedOverhead;
        Assert.True(peak.Anonymous < limit, $"anonymous memory grew by {peak.Anonymous} bytes, the limit is {limit} for {weights} bytes of weights");
        Assert.True(peak.Total < limit, $"resident memory grew by {peak.Total} bytes, the limit is {limit} for {weights} bytes of weights");
    }
}
