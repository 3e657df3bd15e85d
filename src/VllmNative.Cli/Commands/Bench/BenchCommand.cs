using System.CommandLine;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Measures: kernels by themselves, an engine's latencies, an engine's throughput.</summary>
internal static class BenchCommand
{
    internal static Command Create()
    {
        var command = new Command("bench", "Measures kernels, latency or throughput on this machine, each figure beside what the device can do at best.");
        command.Subcommands.Add(BenchKernelsCommand.Create());
        command.Subcommands.Add(BenchLatencyCommand.Create());
        command.Subcommands.Add(BenchThroughputCommand.Create());
        return command;
    }
}
