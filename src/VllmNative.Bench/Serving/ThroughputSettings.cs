using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench throughput` and `bench simulation` measure.</summary>
internal sealed record ThroughputSettings : ServingSettings
{
    internal required Workload Workload { get; init; }

    /// <summary>Requests that come in a second, in the mean; null = all at once.</summary>
    internal double? RequestRate { get; init; }

    /// <summary>How they come, for names and people.</summary>
    internal string Arrivals => RequestRate is { } rate ? FormattableString.Invariant($"{rate} a second") : "all at once";

    /// <summary>The context is the workload's longest request where nothing else was said.</summary>
    internal override EngineOptions EngineOptionsFor() => Engine with { MaxModelLen = Engine.MaxModelLen ?? Workload.LongestRequest };

    internal override string Describe() => $"{Workload.Describe()}, handed in {Arrivals}";

    internal override void Validate() =>
        Check.Option(RequestRate is null || (double.IsFinite(RequestRate.Value) && RequestRate > 0), "--request-rate", RequestRate, "a number above 0");
}
