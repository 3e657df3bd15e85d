using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench prefix` measures.</summary>
internal sealed record PrefixSettings : ServingSettings
{
    internal required int Requests { get; init; }

    /// <summary>Tokens with which every prompt begins.</summary>
    internal required int PrefixTokens { get; init; }

    /// <summary>Tokens that each prompt has of its own behind them.</summary>
    internal required int SuffixTokens { get; init; }

    internal override EngineOptions EngineOptionsFor() => Engine with { EnablePrefixCaching = true, MaxModelLen = Engine.MaxModelLen ?? PrefixTokens + SuffixTokens + 1 };

    internal override string Describe() =>
        $"{Requests} prompts of {PrefixTokens} common and {SuffixTokens} own tokens, one at a time and all at once, each without the prefix cache and with it";

    internal override void Validate()
    {
        Check.Option(Requests >= 1, "--num-prompts", Requests, "1 or more");
        Check.Option(PrefixTokens >= 1, "--prefix-len", PrefixTokens, "1 or more");
        Check.Option(SuffixTokens >= 1, "--suffix-len", SuffixTokens, "1 or more");
        Check.Option(Engine.EnablePrefixCaching, "--no-enable-prefix-caching", "given", "prefix caching, which is measured");
    }
}
