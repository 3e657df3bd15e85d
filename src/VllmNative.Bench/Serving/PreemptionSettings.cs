using VllmNative.Engine;
using VllmNative.Scheduling;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench preemption` measures.</summary>
internal sealed record PreemptionSettings : ServingSettings
{
    private const int DefaultMaxNumSeqs = 256;
    private const double MostPressure = 1000;
    private const double GiB = 1L << 30;

    internal required Workload Workload { get; init; }

    /// <summary>How many times the KV cache as many requests as may run at a time would take at their final lengths, above 1.</summary>
    internal required double Pressure { get; init; }

    /// <summary>Tokens of a request of mean length, prompt and output.</summary>
    internal int MeanRequest => (Workload.PromptTokens + Workload.OutputTokens) / Workload.Requests.Count;

    internal override EngineOptions EngineOptionsFor() => Engine with
    {
        MaxModelLen = Engine.MaxModelLen ?? Workload.LongestRequest,
        NumBlocksOverride = Engine.KvCacheMemoryBytes is null ? BlocksUnderPressure() : null,
    };

    /// <summary>An engine that preempts in one way, with the same KV cache and, where it may swap, host memory for as many blocks again.</summary>
    /// <param name="mode">The way.</param>
    /// <param name="cache">Of an engine with these settings.</param>
    internal EngineOptions With(PreemptionMode mode, MemoryStats cache) => EngineOptionsFor() with
    {
        PreemptionMode = mode,
        // Half a block more, so that the last one is not lost to rounding.
        SwapSpace = Engine.SwapSpace > 0 ? Engine.SwapSpace : (cache.TotalBlocks + 0.5) * cache.BlockBytes / GiB,
    };

    internal override string Describe() => FormattableString.Invariant(
        $"{Workload.Describe()}, in {(Engine.KvCacheMemoryBytes is null ? $"a KV cache {Pressure} times too small" : "the given KV cache")}, by recompute, swap and auto");

    internal override void Validate()
    {
        Check.Option(Pressure > 1 && Pressure <= MostPressure, "--pressure", Pressure, $"above 1 and at most {MostPressure}");
        Check.Option(Engine.BlockSize >= 1, "--block-size", Engine.BlockSize, "1 or more");
    }

    // The null block is one more; any request must fit.
    private int BlocksUnderPressure()
    {
        double mean = Workload.Requests.Average(request => (double)BlocksOf(request.Prompt + request.Output));
        int running = Math.Min(Engine.MaxNumSeqs ?? DefaultMaxNumSeqs, Workload.Requests.Count);
        return 1 + Math.Max((int)(running * mean / Pressure), BlocksOf(Workload.LongestRequest));
    }

    private int BlocksOf(int tokens) => (tokens + Engine.BlockSize - 1) / Engine.BlockSize;
}
