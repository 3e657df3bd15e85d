using System.CommandLine;
using VllmNative.Bench.Kernels;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Times the device's operations, without an engine.</summary>
internal static class BenchKernelsCommand
{
    internal static Command Create()
    {
        var command = new Command("kernels", "Times the device's operations, in the sizes of serving on a GPU, smaller on the CPU.");
        var device = new Option<string>("--device") { Description = "What computes.", DefaultValueFactory = _ => DeviceCatalog.Names[0] };
        device.AcceptOnlyFromAmong([.. DeviceCatalog.Names]);
        Option<int?> threads = NumberOption.Integer("--threads", "CPU threads that compute. Default: one for each core.");
        var serial = new Option<bool>("--serial-kernels")
        {
            Description = "On a GPU, no kernel begins before the one ahead of it has ended: what their overlap gains is the difference.",
        };
        var groups = new Option<string[]>("--group")
        {
            Description = "Only this group; may be repeated. Default: all.",
            HelpName = "NAME",
        };
        groups.AcceptOnlyFromAmong([.. KernelBench.GroupNames]);
        var report = new BenchReportOptionSet();
        foreach (Option option in (Option[])[device, threads, serial, groups])
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(parsed =>
        {
            using var interrupt = new Interrupt();
            BenchOutput output = report.Open(parsed);
            output.Write(KernelBench.Run(
                DeviceCatalog.Parse(parsed.GetRequiredValue(device)),
                0,
                parsed.GetValue(threads) ?? 0,
                parsed.GetValue(serial),
                parsed.GetValue(groups) ?? [],
                output.Command,
                output.Show,
                interrupt.Token));
            return ExitCode.Ok;
        });
        return command;
    }
}
