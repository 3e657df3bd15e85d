namespace VllmNative.Bench.Results;

/// <summary>Samples of one thing.</summary>
internal sealed class Distribution
{
    private readonly double[] _sorted;

    /// <param name="samples">At least one, in any order.</param>
    internal Distribution(IEnumerable<double> samples)
    {
        _sorted = [.. samples.Order()];
        ArgumentOutOfRangeException.ThrowIfZero(_sorted.Length, nameof(samples));
    }

    internal int Count => _sorted.Length;

    internal double Low => _sorted[0];

    internal double High => _sorted[^1];

    internal double Median => (_sorted[(_sorted.Length - 1) / 2] + _sorted[_sorted.Length / 2]) / 2;

    internal double P99 => Percentile(99);

    /// <summary>The smallest sample that so many percent of all do not exceed.</summary>
    internal double Percentile(double percent) => _sorted[Math.Clamp((int)Math.Ceiling(percent / 100 * _sorted.Length) - 1, 0, _sorted.Length - 1)];

    /// <summary>The same samples in another unit; the function may turn their order around.</summary>
    internal Distribution Select(Func<double, double> convert) => new(_sorted.Select(convert));
}
