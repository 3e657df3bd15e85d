namespace VllmNative.Simulation;

/// <summary>How a duration is distributed, in seconds.</summary>
/// <param name="P50">Half of all are at most so long.</param>
/// <param name="P90">Nine in ten are.</param>
/// <param name="P99">Ninety-nine in a hundred are.</param>
public readonly record struct Percentiles(double P50, double P90, double P99)
{
    internal static Percentiles Of(IEnumerable<double> samples) => OfWeighted(samples.Select(sample => (sample, 1L)));

    /// <summary>Each sample counts as often as its weight says; all 0 without samples.</summary>
    internal static Percentiles OfWeighted(IEnumerable<(double Value, long Weight)> samples)
    {
        (double Value, long Weight)[] sorted = [.. samples.Where(sample => sample.Weight > 0).OrderBy(sample => sample.Value)];
        long total = sorted.Sum(sample => sample.Weight);
        double At(double share)
        {
            long seen = 0;
            foreach ((double value, long weight) in sorted)
            {
                seen += weight;
                if (seen >= share * total)
                {
                    return value;
                }
            }

            return 0;
        }

        return new Percentiles(At(0.5), At(0.9), At(0.99));
    }
}
