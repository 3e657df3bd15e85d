using VllmNative.Engine;
using VllmNative.Loading;
using VllmNative.Scheduling;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench defragment` measures.</summary>
internal sealed record DefragmentSettings : ServingSettings
{
    // Streams decode on while blocks move: so much is room for, and none may end before.
    private const int RoomTokens = 64;
    private const int SpareTokens = 4096;

    private const double GiB = 1L << 30;
    private const int MostElementBytes = 4;

    /// <summary>Requests that decode side by side, so that their blocks alternate.</summary>
    internal required int Streams { get; init; }

    /// <summary>Prompt tokens of each.</summary>
    internal required int Context { get; init; }

    /// <summary>Tokens that each generates before blocks are swapped.</summary>
    internal required int Output { get; init; }

    /// <summary>How often each is measured.</summary>
    internal required int Repeats { get; init; }

    /// <summary>Most tokens that a stream generates.</summary>
    internal int StreamTokens => Math.Min(Output + SpareTokens, PoolTokens - Context);

    // Twice what the streams take: there is room to move into.
    private int PoolBlocks => 2 * Streams * ((Context + Output + RoomTokens + Engine.BlockSize - 1) / Engine.BlockSize);

    private int PoolTokens => PoolBlocks * Engine.BlockSize;

    internal override EngineOptions EngineOptionsFor() => Engine with
    {
        EnablePrefixCaching = false,
        SchedulingPolicy = "priority",
        MaxNumSeqs = Streams + 1,
        MaxModelLen = PoolTokens,
        NumBlocksOverride = PoolBlocks + 1,
    };

    /// <summary>The engine, with host memory for three quarters of the streams' blocks at the largest element type, where nothing else was said.</summary>
    internal EngineOptions Swapping(ModelConfig config)
    {
        double tokenBytes = 2.0 * config.NumHiddenLayers * config.NumKeyValueHeads * config.HeadDim * MostElementBytes;
        return EngineOptionsFor() with
        {
            PreemptionMode = PreemptionMode.Swap,
            SwapSpace = Engine.SwapSpace > 0 ? Engine.SwapSpace : 0.75 * PoolTokens / 2 * tokenBytes / GiB,
        };
    }

    internal override string Describe() =>
        $"{Streams} requests of {Context} tokens generate {Output} side by side, then half of them is swapped out and in: {Repeats} times as they lie, {Repeats} times after Defragment";

    internal override void Validate()
    {
        Check.Option(Streams >= 2, "--streams", Streams, "2 or more: one alone is not fragmented");
        Check.Option(Context >= 1, "--context", Context, "1 or more");
        Check.Option(Output >= 1, "--output", Output, "1 or more");
        Check.Option(Repeats >= 1, "--repeats", Repeats, "1 or more");
        Check.Option(Engine.BlockSize >= 1, "--block-size", Engine.BlockSize, "1 or more");
    }
}
