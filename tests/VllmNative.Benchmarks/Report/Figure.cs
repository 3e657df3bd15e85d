using System.Text.Json.Serialization;

namespace VllmNative.Benchmarks.Report;

/// <summary>One line of the table.</summary>
internal sealed record Figure
{
    internal Figure(string name, Sample time, double work, string unit, double limit = 0)
    {
        Name = name;
        MedianSeconds = time.Median;
        FastSeconds = time.Fast;
        Unit = unit;
        Median = work / time.Median;
        Fast = work / time.Fast;
        Limit = limit > 0 ? limit : null;
    }

    public string Name { get; }

    public double MedianSeconds { get; }

    public double FastSeconds { get; }

    /// <summary>Of <see cref="Median"/>, <see cref="Fast"/> and <see cref="Limit"/>.</summary>
    public string Unit { get; }

    public double Median { get; }

    public double Fast { get; }

    /// <summary>What the machine's own loop reached at the same time, in its fastest tenth.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Limit { get; }

    /// <summary>Fastest tenth against fastest tenth.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ShareOfLimit => Fast / Limit;
}
