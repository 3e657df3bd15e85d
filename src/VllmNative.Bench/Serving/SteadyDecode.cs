using VllmNative.Diagnostics;

namespace VllmNative.Bench.Serving;

/// <summary>The part of a run in which every row decodes: after the last prompt was computed, before the first request ended.</summary>
/// <param name="MillisecondsPerToken">Time of a step.</param>
/// <param name="InterTokenMilliseconds">Between tokens of one request, as its reader sees them.</param>
internal sealed record SteadyDecode(double MillisecondsPerToken, double[] InterTokenMilliseconds)
{
    /// <summary>Finds that part.</summary>
    /// <param name="rows">All requests of the run, each of two tokens or more.</param>
    /// <exception cref="VllmException">There is none: the requests were too short for how far apart they began.</exception>
    internal static SteadyDecode Of(IReadOnlyList<TokenArrivals> rows)
    {
        TokenArrivals last = rows.MaxBy(row => row.Timings.FirstToken)!;
        TokenArrivals first = rows.MinBy(row => row.Timings.LastToken)!;
        long begin = last.Timings.FirstToken;
        long end = first.Timings.LastToken;
        // Rows go in lockstep: of the tokens of the row that ends first, those before the window are not counted. A reader sees a
        // token a little after the engine has it, and the steps before the window, which compute prompts, are the longest.
        double step = (last.Timings.LastToken - begin) / (double)(last.Arrivals.Length - 1);
        int before = first.Arrivals.Count(arrival => arrival < begin - (step / 2));
        int steps = first.Arrivals.Length - 1 - before;
        if (steps < 1 || end <= begin)
        {
            throw new VllmException($"no step had all {rows.Count} rows decoding: the first ended before the last began; ask for more than {last.Arrivals.Length} output tokens");
        }

        double[] gaps = [.. Enumerable.Range(1, steps).Select(i => Milliseconds(last.Arrivals[i - 1], last.Arrivals[i]))];
        return new SteadyDecode(Milliseconds(begin, end) / steps, gaps);
    }

    private static double Milliseconds(long from, long to) => TimeProvider.System.GetElapsedTime(from, to).TotalMilliseconds;
}
