using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench beams` measures.</summary>
internal sealed record BeamSettings
{
    /// <summary>What to load; see <see cref="EngineOptionsFor"/> for what is filled in.</summary>
    internal required EngineOptions Engine { get; init; }

    internal required int Width { get; init; }

    /// <summary>Searches, one after the other.</summary>
    internal required int Searches { get; init; }

    internal required int InputTokens { get; init; }

    internal required int OutputTokens { get; init; }

    internal EngineOptions EngineOptionsFor() => Engine with { EnablePrefixCaching = true, MaxModelLen = Engine.MaxModelLen ?? InputTokens + OutputTokens + 1 };

    /// <exception cref="VllmException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        // The loop asks for twice as many log-probabilities.
        const int most = SamplingParams.MaxLogprobs / 2;
        Check.Option(Width is >= 1 and <= most, "--beam-width", Width, $"1..{most}");
        Check.Option(Searches >= 1, "--num-prompts", Searches, "1 or more");
        Check.Option(InputTokens >= 1, "--input-len", InputTokens, "1 or more");
        Check.Option(OutputTokens >= 2, "--output-len", OutputTokens, "2 or more");
        Check.Option(Engine.EnablePrefixCaching, "--no-enable-prefix-caching", "given", "prefix caching, which the loop is measured with and without");
    }
}
