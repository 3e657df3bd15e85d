using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace VllmNative.Bench.Results;

/// <summary>README's table of continuous against static batching over the batch's size: all devices that were measured, side by side.</summary>
internal static partial class SweepTable
{
    // Where reports lie, below the repository's root.
    private static readonly string[] Folders = ["tests/VllmNative.Benchmarks/results", "tests/gpu/results"];

    internal static MarkedSection Section { get; } = new("batching");

    /// <summary>The table of all sweeps in the reports below the repository's root, as Markdown; a line break at the end.</summary>
    internal static string Write(string root)
    {
        Sweep[] sweeps = [.. Folders.SelectMany(folder => Load(root, folder))];
        int[] batches = [.. sweeps.SelectMany(sweep => sweep.Values.Keys).Select(key => key.Batch).Distinct().Order()];
        if (batches.Length == 0)
        {
            return "No figures yet.\n";
        }

        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"| output tokens a second, requests at a time: | {string.Join(" | ", batches)} |\n|---|{string.Concat(batches.Select(_ => "---:|"))}\n");
        foreach (Sweep sweep in sweeps)
        {
            string where = $"{sweep.What}, {sweep.Report.Device.Trim()}";
            AddRow($"continuous, {where}", "output tokens a second, continuous batching", "F0");
            AddRow($"static, {where}", "output tokens a second, static batching", "F0");
            AddRow("ratio", "continuous over static batching", "F2");
            void AddRow(string name, string figure, string format) => text.Append(
                CultureInfo.InvariantCulture,
                $"| {name} | {string.Join(" | ", batches.Select(batch => sweep.Values.TryGetValue((figure, batch), out double value) ? value.ToString(format, CultureInfo.InvariantCulture) : ""))} |\n");
        }

        foreach (Sweep sweep in sweeps)
        {
            string plot = Path.ChangeExtension(sweep.File, "svg");
            text.Append(CultureInfo.InvariantCulture, $"\n{sweep.What}, {sweep.Report.Device.Trim()}, {sweep.Report.Date}, commit {sweep.Report.Commit}, by `{sweep.Report.Command}`");
            text.Append(File.Exists(Path.Combine(root, plot)) ? $" ([plot]({plot})).\n" : ".\n");
        }

        return text.ToString();
    }

    private static IEnumerable<Sweep> Load(string root, string folder)
    {
        foreach (string path in Directory.EnumerateFiles(Path.Combine(root, folder), "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            string json = File.ReadAllText(path);
            if (!BenchReport.IsReport(json))
            {
                continue;
            }

            BenchReport report = BenchReport.Parse(json, path);
            foreach (var what in report.Entries.Select(entry => (Entry: entry, Match: OfBatch().Match(entry.Name))).Where(pair => pair.Match.Success).GroupBy(pair => pair.Match.Groups[3].Value))
            {
                Dictionary<(string, int Batch), double> values = what.ToDictionary(
                    pair => (pair.Match.Groups[1].Value, int.Parse(pair.Match.Groups[2].Value, CultureInfo.InvariantCulture)), pair => pair.Entry.Value);
                // One size alone is no sweep.
                if (values.Keys.DistinctBy(key => key.Batch).Count() > 1)
                {
                    yield return new Sweep(Path.GetRelativePath(root, path).Replace('\\', '/'), report, what.Key, values);
                }
            }
        }
    }

    [GeneratedRegex("^(.+), batch ([0-9]+), (.+), first [0-9]+ requests$")]
    private static partial Regex OfBatch();

    private sealed record Sweep(string File, BenchReport Report, string What, IReadOnlyDictionary<(string Figure, int Batch), double> Values);
}
