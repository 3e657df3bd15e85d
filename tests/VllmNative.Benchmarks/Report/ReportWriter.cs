using System.Globalization;
using System.Text;
using System.Text.Json;
using VllmNative.Bench.Results;

namespace VllmNative.Benchmarks.Report;

/// <summary>Writes the figures as JSON beside the benchmarks, and as a table into README.md between two markers.</summary>
internal static class ReportWriter
{
    internal static MarkedSection Section { get; } = new("bench");

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    internal static string Json(Machine machine, IReadOnlyList<Figure> figures) =>
        JsonSerializer.Serialize(new { Machine = new { machine.Processor, machine.Threads, machine.Date, machine.Command }, Figures = figures }, Indented) + "\n";

    internal static string Table(Machine machine, IReadOnlyList<Figure> figures)
    {
        CultureInfo invariant = CultureInfo.InvariantCulture;
        var text = new StringBuilder();
        text.Append(invariant, $"Measured on {machine.Processor}, {machine.Threads} threads, {machine.Date}, by `{machine.Command}`. ");
        text.Append("Times are those of the fastest tenth of repeated runs, since other processes can only slow a run down; the median rates stand beside them. ");
        text.Append("Limits are the machine's own, measured in turns with the figure: a loop that only reads (GB/s), one that only multiplies bf16 (with AMX where there is one, else VDPBF16PS; GFLOP/s).\n\n");
        text.Append("| | time | rate | machine's limit | share | median rate |\n|---|---:|---:|---:|---:|---:|\n");
        foreach (Figure figure in figures)
        {
            string share = figure.ShareOfLimit is { } part ? string.Create(invariant, $"{part * 100:F0}%") : "";
            string limit = figure.Limit is { } most ? Rate(most) : "";
            text.Append(invariant, $"| {figure.Name} | {Time(figure.FastSeconds)} | {Rate(figure.Fast)} {figure.Unit} | {limit} | {share} | {Rate(figure.Median)} |\n");
        }

        return text.ToString();
    }

    private static string Time(double seconds) => seconds switch
    {
        < 1e-6 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e9:F1} ns"),
        < 1e-3 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:F1} µs"),
        < 1 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:F1} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds:F2} s"),
    };

    private static string Rate(double value) => value.ToString(value < 100 ? "F1" : "F0", CultureInfo.InvariantCulture);
}
