using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>The demo model's tokenizer on texts of 4 KiB, one thread.</summary>
public class TokenizerBenchmarks
{
    private TokenizerWorkload _tokenizer = null!;

    /// <summary>Makes texts.</summary>
    [GlobalSetup]
    public void Setup() => _tokenizer = new TokenizerWorkload();

    /// <summary>Text to ids.</summary>
    [Benchmark]
    [Work(4096.0 / (1 << 20), "MiB/s")]
    public int Encode() => _tokenizer.Encode();

    /// <summary>Ids to the same text.</summary>
    [Benchmark]
    [Work(4096.0 / (1 << 20), "MiB/s")]
    public int Decode() => _tokenizer.Decode();
}
