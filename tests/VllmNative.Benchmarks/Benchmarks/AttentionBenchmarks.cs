using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>Paged attention of one layer in the shape of TinyLlama.</summary>
public class AttentionBenchmarks
{
    private AttentionWorkload _decode = null!;
    private AttentionWorkload _prefill = null!;

    /// <summary>Makes caches.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _decode = new AttentionWorkload(16, 1, 1024);
        _prefill = new AttentionWorkload(1, 512, 512);
    }

    /// <summary>16 sequences of 1024 tokens, a token each.</summary>
    [Benchmark]
    [Work(4.0 * 16 * 1024 * 4 * 64 / 1e9, "GB/s")]
    public void Decode() => _decode.Run();

    /// <summary>A prompt of 512 tokens.</summary>
    [Benchmark]
    [Work(4.0 * 32 * 64 * 512 * 256.5 / 1e9, "GFLOP/s")]
    public void Prefill() => _prefill.Run();

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _decode.Dispose();
        _prefill.Dispose();
    }
}
