using System.Text.Json.Serialization;

namespace VllmNative.Benchmarks.Report;

/// <summary>One line of the table.</summary>
internal sealed record Figure
{
    internal Figure(string name, Sample time, double work, string unit, LimitKind limit = LimitKind.None)
    {
        Name = name;
        MedianSeconds = time.Median;
        FastSeconds = time.Fast;
        Unit = unit;
        Median = work / time.Median;
        Fast = work / time.Fast;
        Limit = limit;
    }

    public string Name { get; }

    public double MedianSeconds { get; }

    public double FastSeconds { get; }

    /// <summary>Of <see cref="Median"/> and <see cref="Fast"/>.</summary>
    public string Unit { get; }

    public double Median { get; }

    public double Fast { get; }

    /// <summary>Of what the machine's own loop reached in the same run, fastest tenth against fastest tenth.</summary>
    public double? ShareOfLimit { get; init; }

    /// <summary>What bounds it.</summary>
    [JsonIgnore]
    public LimitKind Limit { get; }

    internal Figure Against(MachineLimits limits)
    {
        double limit = Limit switch
        {
            LimitKind.Reading => limits.ReadBytes / 1e9,
            LimitKind.MultiplyingBf16 => limits.Bf16Operations / 1e9,
            _ => 0,
        };
        return limit > 0 ? this with { ShareOfLimit = Fast / limit } : this;
    }
}
