using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench interference` measures.</summary>
internal sealed record InterferenceSettings : ServingSettings
{
    /// <summary>Requests that decode.</summary>
    internal required int Streams { get; init; }

    /// <summary>Prompt tokens of each of them.</summary>
    internal required int Context { get; init; }

    /// <summary>Tokens that each of them generates: this bounds the run, however slowly prompts are computed beside them.</summary>
    internal required int Output { get; init; }

    /// <summary>Tokens of each long prompt that enters.</summary>
    internal required int PromptTokens { get; init; }

    /// <summary>Long prompts, one after the other.</summary>
    internal required int Prompts { get; init; }

    /// <summary>Tokens of a prompt that a step computes where chunks are fixed.</summary>
    internal required int Chunk { get; init; }

    /// <summary>The latency target, as a multiple of the median of decoding alone.</summary>
    internal required double TargetFactor { get; init; }

    internal override EngineOptions EngineOptionsFor() => Engine with
    {
        // Streams begin together, because their prompts are found in the cache.
        EnablePrefixCaching = true,
        MaxNumSeqs = Streams + 1,
        MaxModelLen = Engine.MaxModelLen ?? Math.Max(Context + Output, PromptTokens + 1),
    };

    /// <summary>Chunks of a fixed size, whatever decodes meanwhile.</summary>
    internal EngineOptions FixedChunks() => EngineOptionsFor() with
    {
        MaxNumBatchedTokens = Math.Max(Chunk, Streams + 1),
        LongPrefillTokenThreshold = Chunk,
        TargetInterTokenLatency = null,
    };

    /// <summary>Chunks that keep to a latency target.</summary>
    internal EngineOptions Targeted(TimeSpan target) => EngineOptionsFor() with { TargetInterTokenLatency = target };

    internal override string Describe() => FormattableString.Invariant(
        $"{Streams} streams of {Context} prompt and {Output} output tokens: alone, then beside {Prompts} prompts of {PromptTokens} tokens that enter one after the other, with chunks of {Chunk} and with a target of {TargetFactor} x the median alone");

    internal override void Validate()
    {
        Check.Option(Streams >= 1, "--streams", Streams, "1 or more");
        Check.Option(Context >= 1, "--context", Context, "1 or more");
        Check.Option(Output >= 2, "--output", Output, "2 or more: the time between two tokens is measured");
        Check.Option(PromptTokens >= 1, "--prompt-tokens", PromptTokens, "1 or more");
        Check.Option(Prompts >= 1, "--prompts", Prompts, "1 or more");
        Check.Option(Chunk >= 1, "--chunk", Chunk, "1 or more");
        Check.Option(TargetFactor > 1 && TargetFactor <= 100, "--target-factor", TargetFactor, "above 1 and at most 100: beside decodes alone nothing fits");
    }
}
