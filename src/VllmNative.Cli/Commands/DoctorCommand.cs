using System.CommandLine;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;

namespace VllmNative.Cli.Commands;

/// <summary>Says what this machine has of what an engine needs.</summary>
internal static class DoctorCommand
{
    internal static Command Create()
    {
        var command = new Command("doctor", "Shows devices, native library, ABI versions and memory; exit code 1 when the native library does not load.");
        command.SetAction(_ =>
        {
            EngineHealth health = EngineDoctor.Examine();
            DoctorReport.Write(Console.Out, health);
            return health.Failure is null ? ExitCode.Ok : ExitCode.Error;
        });
        return command;
    }
}
