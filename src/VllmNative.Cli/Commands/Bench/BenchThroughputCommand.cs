using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>A workload from its first request to the end of its last.</summary>
internal static class BenchThroughputCommand
{
    internal static Command Create()
    {
        var command = new Command("throughput", "Runs a workload's requests, all handed in at once: tokens and requests a second, KV cache, preemptions.");
        var workload = new WorkloadOptionSet();
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        workload.AddTo(command);
        report.AddTo(command);
        command.SetAction(parsed =>
        {
            Workload requests = workload.Load(parsed);
            BenchOutput output = report.Open(parsed);
            output.Write(ThroughputBench.Run(engine.Build(parsed), requests, output.Command, output.Show));
            return ExitCode.Ok;
        });
        return command;
    }
}
