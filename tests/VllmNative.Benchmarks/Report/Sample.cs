using System.Diagnostics;

namespace VllmNative.Benchmarks.Report;

/// <summary>Times of repeated runs of the same thing, in seconds.</summary>
/// <param name="Median">What a run takes here.</param>
/// <param name="Fast">A tenth of the runs are faster: what a run takes when other processes leave the machine alone.</param>
internal readonly record struct Sample(double Median, double Fast)
{
    private const int MinRuns = 5;

    /// <summary>Runs an action for so long, at least five times, after one run that does not count.</summary>
    internal static Sample Measure(double seconds, Action run) => Of(Times(seconds, run));

    internal static List<double> Times(double seconds, Action run)
    {
        run();
        var times = new List<double>();
        long start = Stopwatch.GetTimestamp();
        while (times.Count < MinRuns || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            long begin = Stopwatch.GetTimestamp();
            run();
            times.Add(Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }

        return times;
    }

    internal static Sample Of(IEnumerable<double> times)
    {
        double[] sorted = [.. times.Order()];
        return new Sample(sorted[sorted.Length / 2], sorted[sorted.Length / 10]);
    }

    internal Sample DividedBy(int count) => new(Median / count, Fast / count);
}
