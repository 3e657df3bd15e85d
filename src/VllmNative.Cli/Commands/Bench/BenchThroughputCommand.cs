using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>A workload from its first request to the end of its last.</summary>
internal static class BenchThroughputCommand
{
    internal static Command Create()
    {
        var workload = new WorkloadOptionSet();
        return ServingBenchCommand.Create(
            "throughput",
            "Runs a workload's requests, all handed in at once: tokens and requests a second, KV cache, preemptions.",
            workload.Options,
            (parsed, engine) => new ThroughputSettings { Engine = engine, Workload = workload.Load(parsed) },
            (settings, run, _) => Task.FromResult(ThroughputBench.Run(settings, run)));
    }
}
