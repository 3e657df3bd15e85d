using System.Globalization;
using System.Text;
using VllmNative.Bench.Results;

namespace VllmNative.Bench.Serving;

/// <summary>Output tokens a second of both ways to batch.</summary>
/// <param name="Batch">Requests at a time.</param>
/// <param name="Requests">Requests that ran: the workload's first.</param>
/// <param name="Continuous">The next request begins when one has ended.</param>
/// <param name="Static">The next requests begin when all have ended; each has a whole row of the KV cache.</param>
internal sealed record BatchPoint(int Batch, int Requests, double Continuous, double Static)
{
    internal double Ratio => Continuous / Static;
}

/// <summary>Both ways to batch over the batch's size.</summary>
internal sealed record BatchSweep(string Model, string Workload, IReadOnlyList<BatchPoint> Points)
{
    /// <summary>Of several sweeps over the same sizes each rate's highest: other processes can only slow a run down.</summary>
    internal static BatchSweep FastestOf(IReadOnlyList<BatchSweep> sweeps)
    {
        double Fastest(int point, Func<BatchPoint, double> rate) => sweeps.Max(sweep => rate(sweep.Points[point]));
        return sweeps[0] with
        {
            Points = [.. sweeps[0].Points.Select((point, i) => point with { Continuous = Fastest(i, of => of.Continuous), Static = Fastest(i, of => of.Static) })],
        };
    }

    internal IEnumerable<BenchEntry> Entries()
    {
        foreach (BatchPoint point in Points)
        {
            string where = $"batch {point.Batch}, {Model}, {Workload}, first {point.Requests} requests";
            yield return BenchEntry.Of($"output tokens a second, continuous batching, {where}", point.Continuous, "tok/s", Better.Higher);
            yield return BenchEntry.Of($"output tokens a second, static batching, {where}", point.Static, "tok/s", Better.Higher);
            yield return BenchEntry.Of($"continuous over static batching, {where}", point.Ratio, "x", Better.Higher).AsHeadline();
        }
    }

    /// <summary>For people, a line break at the end.</summary>
    internal string Table()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{"batch",8}{"requests",10}{"continuous",14}{"static",14}{"ratio",8}   output tokens a second, {Model}, {Workload}\n");
        foreach (BatchPoint point in Points)
        {
            text.Append(CultureInfo.InvariantCulture, $"{point.Batch,8}{point.Requests,10}{point.Continuous,14:F1}{point.Static,14:F1}{point.Ratio,8:F2}\n");
        }

        return text.ToString();
    }

    internal LinePlot Plot() => new(
        $"Output tokens a second, {Model}, {Workload}",
        "requests at a time",
        [.. Points.Select(point => point.Batch.ToString(CultureInfo.InvariantCulture))],
        [
            new PlotLine("continuous batching", [.. Points.Select(point => point.Continuous)]),
            new PlotLine("static batching", [.. Points.Select(point => point.Static)]),
        ]);
}
