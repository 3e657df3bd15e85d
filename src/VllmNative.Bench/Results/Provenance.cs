using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Results;

/// <summary>Where and of what a run is.</summary>
internal static class Provenance
{
    private const int CommitDigits = 12;

    internal static BenchReport Report(string kind, DeviceDescription device, string command, IReadOnlyList<BenchEntry> entries) => new()
    {
        Schema = BenchReport.CurrentSchema,
        Kind = kind,
        Device = device.Name.Trim(),
        Driver = device.Kind == DeviceKind.Cuda ? DriverVersion() : null,
        Commit = Commit(),
        Date = DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        Command = command,
        Entries = entries,
    };

    // The build writes the commit behind a plus sign, where it was built from a checkout.
    private static string Commit()
    {
        string version = typeof(Provenance).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        int plus = version.IndexOf('+', StringComparison.Ordinal);
        return plus < 0 ? "unknown" : version[(plus + 1)..Math.Min(version.Length, plus + 1 + CommitDigits)];
    }

    // The driver's own tool; a machine with a GPU has it wherever the driver is.
    private static string? DriverVersion()
    {
        var start = new ProcessStartInfo("nvidia-smi", ["--query-gpu=driver_version", "--format=csv,noheader"]) { RedirectStandardOutput = true };
        try
        {
            using Process? process = Process.Start(start);
            string? line = process?.StandardOutput.ReadLine();
            process?.WaitForExit();
            return string.IsNullOrWhiteSpace(line) ? null : line.Trim();
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
