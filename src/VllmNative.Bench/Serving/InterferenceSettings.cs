using VllmNative.Diagnostics;
using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench interference` measures.</summary>
internal sealed record InterferenceSettings
{
    /// <summary>What to load; the bounds of prefill are the benchmark's own.</summary>
    internal required EngineOptions Engine { get; init; }

    /// <summary>Requests that decode all the time.</summary>
    internal required int Streams { get; init; }

    /// <summary>Prompt tokens of each of them.</summary>
    internal required int Context { get; init; }

    /// <summary>Tokens that each of them may generate: the benchmark must end before.</summary>
    internal required int Output { get; init; }

    /// <summary>Tokens of each long prompt that enters.</summary>
    internal required int PromptTokens { get; init; }

    /// <summary>Long prompts, one after the other.</summary>
    internal required int Prompts { get; init; }

    /// <summary>Tokens of a stream over which decoding alone is measured.</summary>
    internal required int SteadyTokens { get; init; }

    /// <summary>Tokens of a prompt that a step computes where chunks are fixed.</summary>
    internal required int Chunk { get; init; }

    /// <summary>The latency target, as a multiple of the median of decoding alone.</summary>
    internal required double TargetFactor { get; init; }

    /// <summary>Chunks of a fixed size, whatever decodes meanwhile.</summary>
    internal EngineOptions FixedChunks() => Common() with
    {
        MaxNumBatchedTokens = Math.Max(Chunk, Streams + 1),
        LongPrefillTokenThreshold = Chunk,
        TargetInterTokenLatency = null,
    };

    /// <summary>Chunks that keep to a latency target.</summary>
    internal EngineOptions Targeted(TimeSpan target) => Common() with { TargetInterTokenLatency = target };

    /// <exception cref="VllmException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        Check.Option(Streams >= 1, "--streams", Streams, "1 or more");
        Check.Option(Context >= 1, "--context", Context, "1 or more");
        Check.Option(SteadyTokens >= 2, "--steady-tokens", SteadyTokens, "2 or more");
        Check.Option(Output > SteadyTokens, "--output", Output, $"more than --steady-tokens, which is {SteadyTokens}");
        Check.Option(PromptTokens >= 1, "--prompt-tokens", PromptTokens, "1 or more");
        Check.Option(Prompts >= 1, "--prompts", Prompts, "1 or more");
        Check.Option(Chunk >= 1, "--chunk", Chunk, "1 or more");
        Check.Option(TargetFactor > 1 && TargetFactor <= 100, "--target-factor", TargetFactor, "above 1 and at most 100: beside decodes alone nothing fits");
    }

    private EngineOptions Common() => Engine with
    {
        // Prompts must be computed, and streams must not be found by those of the run before.
        EnablePrefixCaching = false,
        MaxNumSeqs = Streams + 1,
        MaxModelLen = Engine.MaxModelLen ?? Math.Max(Context + Output, PromptTokens + 1),
    };
}
