using System.CommandLine;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Measures: kernels by themselves, an engine's latencies and throughput, and what its scheduler and its KV cache bring.</summary>
internal static class BenchCommand
{
    internal static Command Create()
    {
        var command = new Command("bench", "Measures kernels, latency, throughput, or what batching, prefix cache, latency target, preemption, simulation and beams bring, on this machine.");
        command.Subcommands.Add(BenchKernelsCommand.Create());
        command.Subcommands.Add(BenchLatencyCommand.Create());
        command.Subcommands.Add(BenchThroughputCommand.Create());
        command.Subcommands.Add(BenchBatchingCommand.Create());
        command.Subcommands.Add(BenchPrefixCommand.Create());
        command.Subcommands.Add(BenchInterferenceCommand.Create());
        command.Subcommands.Add(BenchPreemptionCommand.Create());
        command.Subcommands.Add(BenchDefragmentCommand.Create());
        command.Subcommands.Add(BenchSimulationCommand.Create());
        command.Subcommands.Add(BenchBeamsCommand.Create());
        return command;
    }
}
