using System.Text.Json.Serialization;

namespace VllmNative.Bench.Results;

/// <summary>One figure of a run. All of value, ceiling, target, low, high and p99 have the same unit.</summary>
internal sealed record BenchEntry
{
    /// <summary>What was measured, with its sizes; the same words in every run, so that runs and peers can be compared.</summary>
    public required string Name { get; init; }

    /// <summary>The median where there are several samples.</summary>
    public required double Value { get; init; }

    public required string Unit { get; init; }

    public required Better Better { get; init; }

    /// <summary>What the device could do at best, from what was measured of it in the same run; null = unknown.</summary>
    public double? Ceiling { get; init; }

    /// <summary>How much of the ceiling was reached, 0..1 (a little more where the ceiling was measured by another access pattern).</summary>
    public double? Share => Ceiling is not { } ceiling || Value == 0 ? null : Figures.Round(Better == Better.Higher ? Value / ceiling : ceiling / Value);

    /// <summary>What is aimed at; null = nothing in particular.</summary>
    public double? Target { get; init; }

    /// <summary>Microseconds of one launch, where the value is a rate of a kernel.</summary>
    public double? TimeUs { get; init; }

    /// <summary>The 99th percentile of the samples.</summary>
    public double? P99 { get; init; }

    /// <summary>The smallest sample.</summary>
    public double? Low { get; init; }

    /// <summary>The largest sample.</summary>
    public double? High { get; init; }

    public int? Samples { get; init; }

    /// <summary>Whose figure it is, when it is not ours.</summary>
    public string? Peer { get; init; }

    /// <summary>Whether it stands in README's table.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Headline { get; init; }

    /// <summary>A figure of several samples.</summary>
    internal static BenchEntry Of(string name, Distribution samples, string unit, Better better) => new()
    {
        Name = name,
        Value = Figures.Round(samples.Median),
        Unit = unit,
        Better = better,
        P99 = Figures.Round(samples.P99),
        Low = Figures.Round(samples.Low),
        High = Figures.Round(samples.High),
        Samples = samples.Count,
    };

    /// <summary>A figure that is what it is.</summary>
    internal static BenchEntry Of(string name, double value, string unit, Better better) =>
        new() { Name = name, Value = Figures.Round(value), Unit = unit, Better = better };

    internal BenchEntry Below(double? ceiling) => this with { Ceiling = ceiling is { } value ? Figures.Round(value) : null };

    internal BenchEntry AsHeadline(bool headline = true) => this with { Headline = headline };
}
