using System.Globalization;

namespace VllmNative.Benchmarks.Report;

/// <summary>`report [--threads N] [--dry]`: measures the headline figures and writes them down.</summary>
internal static class ReportCommand
{
    internal static int Run(string[] args)
    {
        int threads = Environment.ProcessorCount;
        bool dry = false;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--dry":
                    dry = true;
                    break;
                case "--threads" when i + 1 < args.Length && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out threads) && threads > 0:
                    i++;
                    break;
                default:
                    Console.Error.WriteLine($"report: unknown argument '{args[i]}'; usage: report [--threads N] [--dry], --dry writes no file");
                    return 2;
            }
        }

        List<Figure> figures = [.. Headlines.Measure(threads, Bf16Peak.Measure(threads))];
        Machine machine = Machine.Here(threads);
        string table = ReportWriter.Table(machine, figures);
        Console.WriteLine(table);
        if (!dry)
        {
            string results = Path.Combine(BenchmarkFiles.Root, "tests", "VllmNative.Benchmarks", "results");
            Directory.CreateDirectory(results);
            File.WriteAllText(Path.Combine(results, machine.Slug + ".json"), ReportWriter.Json(machine, figures));
            string readme = Path.Combine(BenchmarkFiles.Root, "README.md");
            File.WriteAllText(readme, ReportWriter.Insert(File.Exists(readme) ? File.ReadAllText(readme) : "", table));
        }

        return 0;
    }
}
