using System.Reflection;
using System.Runtime.InteropServices;
using VllmNative.Engine;

namespace VllmNative.Cli.Rendering;

/// <summary>What <c>doctor</c> prints: a name and a fact a line.</summary>
internal static class DoctorReport
{
    private const int NameWidth = 16;

    internal static void Write(TextWriter output, EngineHealth health)
    {
        void Line(string name, string fact) => output.WriteLine(name.PadRight(NameWidth) + fact);

        Line("vllm-native", Version);
        Line(".NET", RuntimeInformation.FrameworkDescription);
        Line("OS", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.RuntimeIdentifier}, {Environment.ProcessorCount} processors");
        if (health.Failure is { } failure)
        {
            Line("native library", "not loaded: " + failure);
            Line("ABI version", $"binding {health.BindingAbi}");
            return;
        }

        Line("native library", health.LibraryPath!);
        Line("ABI version", $"library {health.LibraryAbi}, binding {health.BindingAbi}");
        foreach (DeviceReport device in health.Devices)
        {
            Line($"{device.Kind} {device.Ordinal}", Describe(device));
        }
    }

    private static string Version =>
        typeof(DoctorReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    private static string Describe(DeviceReport report) => report.Device is { } device
        ? $"{device.Name.Trim()}, {device.Parallelism}, {device.CapabilityName}, memory {Units.Bytes(device.TotalMemory)}, free {Units.Bytes(device.FreeMemory)}"
        : "not available: " + ErrorLine.OneLine(report.Problem);
}
