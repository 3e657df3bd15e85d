using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace VllmNative.Benchmarks.Report;

/// <summary>What the machine can do at its best: bytes read a second, bf16 multiplications and additions a second.</summary>
internal sealed partial record MachineLimits(double ReadBytes, double Bf16Operations)
{
    [GeneratedRegex(@"VDPBF16PS (\d+) GFLOP/s.*read ([\d.]+) GB/s")]
    private static partial Regex NativeLine();

    internal MachineLimits BestOf(MachineLimits other) =>
        new(Math.Max(ReadBytes, other.ReadBytes), Math.Max(Bf16Operations, other.Bf16Operations));

    /// <summary>Measures both; the native loop is there because C# has no VDPBF16PS.</summary>
    internal static MachineLimits Measure(int threads)
    {
        double read = ReadBandwidth.Measure(threads);
        string tool = Path.Combine(BenchmarkFiles.Root, "build", "tests", "native", "bench_gemm");
        if (!File.Exists(tool))
        {
            throw new FileNotFoundException($"{tool} is missing: build the native tests (./build.sh build).");
        }

        var start = new ProcessStartInfo(tool, [threads.ToString(CultureInfo.InvariantCulture), "0.5", "limits"]) { RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        string text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Match match = NativeLine().Match(text);
        // A processor without the instruction has no such limit; its figures stand without a share.
        return match.Success
            ? new MachineLimits(Math.Max(read, Number(match.Groups[2]) * 1e9), Number(match.Groups[1]) * 1e9)
            : new MachineLimits(read, 0);
    }

    private static double Number(Group group) => double.Parse(group.ValueSpan, CultureInfo.InvariantCulture);
}
