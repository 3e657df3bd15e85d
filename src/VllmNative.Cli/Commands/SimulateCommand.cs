using System.CommandLine;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Simulation;

namespace VllmNative.Cli.Commands;

/// <summary>Replays a recorded run on a virtual clock, as it was and with other settings.</summary>
internal static class SimulateCommand
{
    internal static Command Create()
    {
        var command = new Command(
            "simulate",
            "Replays what an engine recorded (--record-to) with the real scheduler and KV cache on a virtual clock: what was measured, what the simulation says of the same settings, and of others.");
        var trace = new Argument<string>("TRACE") { Description = "The recorded file." };
        var options = new SimulationOptionSet();
        var json = new Option<bool>("--json") { Description = "Prints one JSON object instead of a table; times in seconds." };
        command.Arguments.Add(trace);
        options.AddTo(command);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            SimulationReport report = TraceSimulator.Run(parsed.GetRequiredValue(trace), options.Build(parsed));
            if (parsed.GetValue(json))
            {
                SimulationJson.Write(Console.Out, report);
            }
            else
            {
                SimulationTable.Write(Console.Out, report);
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
