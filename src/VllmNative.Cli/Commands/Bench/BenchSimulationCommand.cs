using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>How far a simulation is from what was measured.</summary>
internal static class BenchSimulationCommand
{
    internal static Command Create()
    {
        var workload = new WorkloadOptionSet();
        Option<double?> rate = NumberOption.Fraction("--request-rate", "Requests that come in a second, in the mean, at random moments. Default: all come at once.");
        return ServingBenchCommand.Create(
            "simulation",
            "Records a workload's requests and replays the record as vllm-native simulate does: what that says beside what was measured.",
            [.. workload.Options, rate],
            (parsed, engine) => new ThroughputSettings { Engine = engine, Workload = workload.Load(parsed), RequestRate = parsed.GetValue(rate) },
            (settings, run, _) => Task.FromResult(SimulationBench.Run(settings, run)));
    }
}
