using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>What the KV cache costs the engine thread, and callers' threads.</summary>
public class PrefixBenchmarks
{
    private readonly PrefixWorkload _prefixes = new();

    /// <summary>Finds a prompt whose blocks are all cached.</summary>
    [Benchmark, Work(PrefixWorkload.PromptTokens / 1e6, "M tokens/s")]
    public void LookUp() => _prefixes.LookUp();

    /// <summary>Takes over what the caller's thread found of such a prompt.</summary>
    [Benchmark, Work(PrefixWorkload.PromptTokens / 1e6, "M tokens/s")]
    public void Confirm() => _prefixes.Confirm();

    /// <summary>Hashes a prompt and finds it, on the caller's thread.</summary>
    [Benchmark, Work(PrefixWorkload.PromptTokens / 1e6, "M tokens/s")]
    public void Prepare() => _prefixes.Prepare();

    /// <summary>Takes a block and gives it back.</summary>
    [Benchmark]
    public void TakeAndRelease() => _prefixes.TakeAndRelease();
}
