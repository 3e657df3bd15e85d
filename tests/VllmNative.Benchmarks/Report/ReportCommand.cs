using System.Globalization;
using VllmNative.Bench.Results;

namespace VllmNative.Benchmarks.Report;

/// <summary>
/// `report [--threads N] [--dry]`: measures the headline figures and writes them down; with `--batching` continuous against static
/// batching instead. `report --gpu-results`: measures nothing, writes README's tables of GPU figures anew from tests/gpu/results.
/// </summary>
internal static class ReportCommand
{
    internal static int Run(string[] args)
    {
        int threads = Environment.ProcessorCount;
        bool dry = false;
        bool gpuResults = false;
        bool batching = false;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--dry":
                    dry = true;
                    break;
                case "--gpu-results":
                    gpuResults = true;
                    break;
                case "--batching":
                    batching = true;
                    break;
                case "--threads" when i + 1 < args.Length && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out threads) && threads > 0:
                    i++;
                    break;
                default:
                    Console.Error.WriteLine($"report: unknown argument '{args[i]}'; usage: report [--batching | --gpu-results] [--threads N] [--dry], --dry writes no file, --batching measures continuous against static batching, --gpu-results only makes README's tables of GPU figures anew");
                    return 2;
            }
        }

        if (gpuResults)
        {
            string gpuTable = GpuTable.Write(GpuTable.Load(Path.Combine(BenchmarkFiles.Root, "tests", "gpu", "results")));
            Publish(GpuTable.Section, gpuTable, dry);
            Publish(SweepTable.Section, SweepTable.Write(BenchmarkFiles.Root), dry);
            return 0;
        }

        string results = Path.Combine(BenchmarkFiles.Root, "tests", "VllmNative.Benchmarks", "results");
        Directory.CreateDirectory(results);
        if (batching)
        {
            BatchingFigures.Measure(Machine.Here(threads, "./build.sh bench report --batching"), dry ? null : results);
            Publish(SweepTable.Section, SweepTable.Write(BenchmarkFiles.Root), dry);
            return 0;
        }

        List<Figure> figures = [.. Headlines.Measure(threads, Bf16Peak.Measure(threads))];
        Machine machine = Machine.Here(threads, "./build.sh bench report");
        string table = ReportWriter.Table(machine, figures);
        Publish(ReportWriter.Section, table, dry);
        if (!dry)
        {
            File.WriteAllText(Path.Combine(results, machine.Slug + ".json"), ReportWriter.Json(machine, figures));
        }

        return 0;
    }

    private static void Publish(MarkedSection section, string table, bool dry)
    {
        Console.WriteLine(table);
        if (!dry)
        {
            string readme = Path.Combine(BenchmarkFiles.Root, "README.md");
            File.WriteAllText(readme, section.Insert(File.Exists(readme) ? File.ReadAllText(readme) : "", table));
        }
    }
}
