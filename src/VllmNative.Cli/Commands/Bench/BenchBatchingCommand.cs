using System.CommandLine;
using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Diagnostics;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Continuous against static batching.</summary>
internal static class BenchBatchingCommand
{
    internal static Command Create()
    {
        var workload = new WorkloadOptionSet();
        Option<int?> rows = NumberOption.Integer("--static-rows", "Static rows among which the KV cache is divided; 0 = none. Default: as many as hold the longest request.");
        Option<int?> reserved = NumberOption.Integer("--static-model-len", "Tokens that a static row reserves. Default: 8192, or the model's context if that is less.");
        Option<int?> few = NumberOption.Integer("--static-requests", "Only so many requests with such rows, which takes long; 0 = none. Default: 200.");
        Option<int[]> batches = NumberOption.Integers("--batch", "Batch sizes at which both are measured.", [1, 2, 4, 8, 16, 32]);
        var plot = new Option<string?>("--plot") { Description = "Writes the figures over the batch's size into this SVG file too.", HelpName = "FILE" };
        return ServingBenchCommand.Create(
            "batching",
            "Continuous against static batching of a workload, with KV caches of the same size, and both over the batch's size.",
            [.. workload.Options, rows, reserved, few, batches, plot],
            (parsed, engine) => new BatchingSettings
            {
                Engine = engine,
                Workload = workload.Load(parsed),
                StaticRows = parsed.GetValue(rows),
                StaticModelLen = parsed.GetValue(reserved),
                StaticRequests = parsed.GetValue(few) ?? 200,
                Batches = parsed.GetRequiredValue(batches),
                PlotFile = PlotFileOf(parsed.GetValue(plot)),
            },
            (settings, run, _) => Task.FromResult(Run(settings, run)));
    }

    private static string? PlotFileOf(string? file) =>
        file is not null && Path.GetDirectoryName(Path.GetFullPath(file)) is { } folder && !Directory.Exists(folder)
            ? throw new VllmException($"--plot is \"{file}\": no such folder")
            : file;

    private static BenchReport Run(BatchingSettings settings, BenchRun run)
    {
        (BenchReport figures, BatchSweep sweep) = BatchingBench.Run(settings, run);
        if (sweep.Points.Count > 0)
        {
            Console.Out.Write(sweep.Table());
        }

        if (settings.PlotFile is { } file)
        {
            File.WriteAllText(file, sweep.Plot().ToSvg());
        }

        return figures;
    }
}
