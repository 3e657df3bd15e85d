using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What each way to preempt costs.</summary>
internal static class BenchPreemptionCommand
{
    internal static Command Create()
    {
        var workload = new WorkloadOptionSet();
        Option<double?> pressure = NumberOption.Fraction(
            "--pressure", "How many times the KV cache the requests that may run at a time would take at their final lengths; --kv-cache-memory-bytes overrides it. Default: 3.");
        return ServingBenchCommand.Create(
            "preemption",
            "Runs a workload in a KV cache that is too small, with preempted requests computed again, swapped, and as the engine chooses.",
            [.. workload.Options, pressure],
            (parsed, engine) => new PreemptionSettings { Engine = engine, Workload = workload.Load(parsed), Pressure = parsed.GetValue(pressure) ?? 3 },
            PreemptionBench.RunAsync);
    }
}
