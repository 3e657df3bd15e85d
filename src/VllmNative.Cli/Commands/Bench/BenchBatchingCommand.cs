using System.CommandLine;
using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Diagnostics;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Continuous against static batching.</summary>
internal static class BenchBatchingCommand
{
    internal static Command Create()
    {
        var command = new Command("batching", "Continuous against static batching of a workload, with KV caches of the same size, and both over the batch's size.");
        var workload = new WorkloadOptionSet();
        Option<int?> reserved = NumberOption.Integer("--static-model-len", "Tokens that a static row reserves. Default: 8192, or the model's context if that is less.");
        Option<int?> few = NumberOption.Integer("--static-requests", "Only so many requests with such rows, which takes long. Default: 200.");
        Option<int[]> batches = NumberOption.Integers("--batch", "Batch sizes at which both are measured.", [1, 2, 4, 8, 16, 32]);
        var plot = new Option<string?>("--plot") { Description = "Writes the figures over the batch's size into this SVG file too.", HelpName = "FILE" };
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        workload.AddTo(command);
        foreach (Option option in (Option[])[reserved, few, batches, plot])
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(parsed =>
        {
            var settings = new BatchingSettings
            {
                Engine = engine.Build(parsed),
                Workload = workload.Load(parsed),
                StaticModelLen = parsed.GetValue(reserved),
                StaticRequests = parsed.GetValue(few) ?? 200,
                Batches = parsed.GetRequiredValue(batches),
            };
            string? picture = parsed.GetValue(plot);
            if (picture is not null && Path.GetDirectoryName(Path.GetFullPath(picture)) is { } folder && !Directory.Exists(folder))
            {
                throw new VllmException($"--plot is \"{picture}\": no such folder");
            }

            BenchOutput output = report.Open(parsed);
            (BenchReport figures, BatchSweep sweep) = BatchingBench.Run(settings, output.Command, output.Show);
            output.Write(figures);
            Console.Out.Write(sweep.Table());
            if (picture is not null)
            {
                File.WriteAllText(picture, sweep.Plot().ToSvg());
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
