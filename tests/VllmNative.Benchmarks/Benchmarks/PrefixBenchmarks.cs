using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>What the KV cache costs the engine thread, and the callers' who hash.</summary>
public class PrefixBenchmarks
{
    private readonly PrefixWorkload _prefixes = new();

    /// <summary>Finds a prompt whose blocks are all cached.</summary>
    [Benchmark, Work(PrefixWorkload.PromptTokens / 1e6, "M tokens/s")]
    public void LookUp() => _prefixes.LookUp();

    /// <summary>Hashes a prompt.</summary>
    [Benchmark, Work(PrefixWorkload.PromptTokens / 1e6, "M tokens/s")]
    public void Hash() => _prefixes.Hash();

    /// <summary>Takes a block and gives it back.</summary>
    [Benchmark]
    public void TakeAndRelease() => _prefixes.TakeAndRelease();
}
