using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Diagnostics;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>A workload from its first request to the end of its last.</summary>
internal static class BenchThroughputCommand
{
    internal static Command Create()
    {
        var command = new Command("throughput", "Runs a workload's requests, all handed in at once: tokens and requests a second, KV cache, preemptions.");
        var workload = new Option<string>("--workload") { Description = "JSON file: {\"requests\": [[prompt tokens, output tokens], ...]}.", HelpName = "FILE", Required = true };
        Option<int?> prompts = NumberOption.Integer("--num-prompts", "Only so many requests, the workload's first. Default: all.");
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        command.Options.Add(workload);
        command.Options.Add(prompts);
        report.AddTo(command);
        command.SetAction(parsed =>
        {
            Workload requests = Workload.Load(parsed.GetRequiredValue(workload));
            if (parsed.GetValue(prompts) is { } count)
            {
                requests = count >= 1 ? requests.Take(count) : throw new VllmException($"--num-prompts is {count}, expected 1 or more");
            }

            BenchOutput output = report.Open(parsed);
            output.Write(ThroughputBench.Run(engine.Build(parsed), requests, output.Command, output.Show));
            return ExitCode.Ok;
        });
        return command;
    }
}
