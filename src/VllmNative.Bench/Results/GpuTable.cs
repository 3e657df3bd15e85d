using System.Globalization;
using System.Text;

namespace VllmNative.Bench.Results;

/// <summary>README's table of GPU figures: the headlines of all reports below a folder, a table for each device.</summary>
internal static class GpuTable
{
    private static readonly string[] Kinds = ["kernels", "latency", "throughput", "batching", "prefix", "interference", "preemption", "defragment", "simulation", "peers"];

    internal static MarkedSection Section { get; } = new("gpu");

    /// <summary>Reads the reports: every JSON file one folder down that says that it is one.</summary>
    /// <param name="results">tests/gpu/results.</param>
    internal static IReadOnlyList<BenchReport> Load(string results)
    {
        List<BenchReport> reports = [];
        foreach (string file in Directory.EnumerateFiles(results, "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            string json = File.ReadAllText(file);
            if (BenchReport.IsReport(json))
            {
                reports.Add(BenchReport.Parse(json, file));
            }
        }

        return reports;
    }

    /// <summary>The tables as Markdown, a line break at the end.</summary>
    internal static string Write(IReadOnlyList<BenchReport> reports)
    {
        if (reports.Count == 0)
        {
            return "No figures yet: `tests/gpu/run.sh bench` measures them on a machine with a GPU.\n";
        }

        return string.Join('\n', reports.GroupBy(report => report.Device).OrderBy(device => device.Key, StringComparer.Ordinal).Select(Device));
    }

    private static string Device(IGrouping<string, BenchReport> device)
    {
        BenchReport[] ours = [.. device.Where(report => report.Kind != "peers").OrderBy(report => Array.IndexOf(Kinds, report.Kind))];
        BenchReport[] peers = [.. device.Where(report => report.Kind == "peers")];
        ILookup<string, BenchEntry> peerEntries = peers.SelectMany(report => report.Entries).ToLookup(entry => entry.Name);
        var text = new StringBuilder();
        BenchReport first = ours.Concat(peers).First();
        text.Append(CultureInfo.InvariantCulture, $"{device.Key}, driver {first.Driver ?? "unknown"}, {string.Join(" and ", device.Select(report => report.Date).Distinct().Order(StringComparer.Ordinal))}");
        text.Append(CultureInfo.InvariantCulture, $", commit {string.Join(", ", ours.Select(report => report.Commit).Distinct())}. Medians; a ceiling is what the device's own large copy");
        text.Append(" or large bf16 product, measured in the same run, leaves possible, and the share is how much of it was reached.");
        text.Append(peers.Length > 0 ? $" Peers: {string.Join(", ", peers.Select(report => report.Commit).Distinct())}.\n\n" : "\n\n");
        text.Append("| | measured | ceiling | share | target | peers |\n|---|---:|---:|---:|---:|---:|\n");
        // Several runs of a kind (a model each) begin with the same ceilings.
        BenchEntry[] rows = [.. ours.SelectMany(report => report.Entries).Where(entry => entry.Headline).DistinctBy(entry => entry.Name)];
        foreach (BenchEntry entry in rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {entry.Name} | {Value(entry)} | {Number(entry.Ceiling)} | {Percent(entry.Share)} | {Number(entry.Target)} | {Peers(peerEntries[entry.Name])} |\n");
        }

        HashSet<string> named = [.. rows.Select(entry => entry.Name)];
        foreach (IGrouping<string, BenchEntry> other in peerEntries.Where(group => !named.Contains(group.Key) && group.Any(entry => entry.Headline)))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {other.Key} | | | | | {Peers(other)} |\n");
        }

        return text.ToString();
    }

    private static string Value(BenchEntry entry) => entry.TimeUs is { } time ? $"{Number(entry.Value)} {entry.Unit} ({Number(time)} us)" : $"{Number(entry.Value)} {entry.Unit}";

    private static string Peers(IEnumerable<BenchEntry> entries) => string.Join("; ", entries.Select(entry => $"{entry.Peer} {Number(entry.Value)} {entry.Unit}"));

    private static string Percent(double? share) => share is { } part ? string.Create(CultureInfo.InvariantCulture, $"{100 * part:F0}%") : "";

    // Three digits, and all before the point.
    private static string Number(double? value)
    {
        if (value is not { } number)
        {
            return "";
        }

        double size = Math.Abs(number);
        return number.ToString(size >= 100 || number == 0 ? "F0" : size >= 10 ? "F1" : size >= 1 ? "F2" : "G3", CultureInfo.InvariantCulture);
    }
}
