using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace VllmNative.Benchmarks.Report;

/// <summary>What the machine multiplies at its best: bf16 multiplications and additions a second, 0 = it has neither TDPBF16PS (AMX) nor VDPBF16PS.</summary>
internal static partial class Bf16Peak
{
    [GeneratedRegex(@"[TV]DPBF16PS (\d+) GFLOP/s")]
    private static partial Regex NativeLine();

    /// <summary>Runs the native loop, since C# has neither.</summary>
    internal static double Measure(int threads)
    {
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
        // A processor without these instructions has no such limit; its figures stand without a share.
        return match.Success ? double.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture) * 1e9 : 0;
    }
}
