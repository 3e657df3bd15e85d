using System.Globalization;
using VllmNative.Simulation;

namespace VllmNative.Cli.Rendering;

/// <summary>A simulation as a table: what was measured, what the simulation says of the same engine, and of the changed one.</summary>
internal static class SimulationTable
{
    private const int NameWidth = 26;
    private const int ValueWidth = 12;

    private static readonly (string Name, string Unit, double Scale, Func<ServingFigures, double> Value)[] Rows =
    [
        ("requests", "", 1, figures => figures.Requests),
        ("output tokens", "", 1, figures => figures.OutputTokens),
        ("duration", "s", 1, figures => figures.Seconds),
        ("requests a second", "", 1, figures => figures.RequestsPerSecond),
        ("output tokens a second", "", 1, figures => figures.OutputTokensPerSecond),
        .. Latency("TTFT", figures => figures.TimeToFirstToken),
        .. Latency("ITL", figures => figures.InterTokenLatency),
        .. Latency("TPOT", figures => figures.TimePerOutputToken),
        .. Latency("end to end", figures => figures.EndToEnd),
        ("KV cache used at most", "%", 100, figures => figures.PeakKvUse),
        ("KV cache used, mean", "%", 100, figures => figures.MeanKvUse),
        ("preemptions", "", 1, figures => figures.Preemptions),
        ("prefix cache hits", "%", 100, figures => figures.PrefixHitRate),
        ("host tier hits", "tokens", 1, figures => figures.HostHitTokens),
        ("steps", "", 1, figures => figures.Steps),
    ];

    internal static void Write(TextWriter output, SimulationReport report)
    {
        output.WriteLine($"{report.Model} on {report.Device}; error = simulated against recorded{(report.Changed is null ? "" : ", change = changed against simulated")}");
        if (report.StepsPlannedAlike is { } alike)
        {
            output.WriteLine($"with the recorded step times the first {alike} of {report.Steps} steps are planned as they were");
        }

        foreach (string problem in Problems(report))
        {
            output.WriteLine(problem);
        }

        output.WriteLine(Line("", "recorded", "simulated", "error", report.Changed is null ? [] : ["changed", "change"]));
        foreach ((string name, string unit, double scale, Func<ServingFigures, double> value) in Rows)
        {
            double recorded = scale * value(report.Recorded);
            double replayed = scale * value(report.Replayed);
            string[] changed = report.Changed is { } figures ? [Number(scale * value(figures)), Relative(scale * value(figures), replayed)] : [];
            output.WriteLine(Line(unit.Length > 0 ? $"{name}, {unit}" : name, Number(recorded), Number(replayed), Relative(replayed, recorded), changed));
        }
    }

    private static IEnumerable<string> Problems(SimulationReport report)
    {
        if (report.LeftOut > 0)
        {
            yield return $"{report.LeftOut} requests ended before their first token and are left out";
        }

        if (report.HadDiskTier)
        {
            yield return "the engine had a tier on disk, which is not simulated: what it brought back is computed";
        }

        if (report.DroppedSteps > 0 || report.DroppedRequests > 0 || report.DroppedOrders > 0)
        {
            yield return $"the recorder dropped {report.DroppedSteps} steps, {report.DroppedRequests} requests, {report.DroppedOrders} pins and resets";
        }
    }

    private static (string, string, double, Func<ServingFigures, double>)[] Latency(string name, Func<ServingFigures, Percentiles> of) =>
    [
        ($"{name} p50", "ms", 1000, figures => of(figures).P50),
        ($"{name} p90", "ms", 1000, figures => of(figures).P90),
        ($"{name} p99", "ms", 1000, figures => of(figures).P99),
    ];

    private static string Line(string name, string first, string second, string third, string[] more) =>
        (name.PadRight(NameWidth) + string.Concat(((string[])[first, second, third, .. more]).Select(cell => cell.PadLeft(ValueWidth)))).TrimEnd();

    private static string Number(double value) => value.ToString(Math.Abs(value) >= 100 || value == Math.Round(value) ? "0" : "0.00", CultureInfo.InvariantCulture);

    private static string Relative(double value, double reference) =>
        reference == 0 ? "" : ((value / reference) - 1).ToString("+0.0%;-0.0%;0.0%", CultureInfo.InvariantCulture);
}
