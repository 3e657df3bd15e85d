using VllmNative.Bench.Kernels;
using VllmNative.Bench.Results;
using VllmNative.Tests.Bindings;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Repository;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>tests/gpu/peers.py, as far as it runs without a GPU: names and format.</summary>
public sealed class PeersScriptTests
{
    private static readonly string Script = RepositoryRoot.Combine("tests/gpu/peers.py");

    [Fact]
    public void PeersAreMeasuredUnderOurNames()
    {
        string[] names = Run("--names").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] kernels =
        [
            DeviceCeilings.CopyName,
            DeviceCeilings.GemmName(KernelPlan.Gpu.CeilingGemm),
            .. KernelPlan.Gpu.Attention.Select(shape => shape.Name),
            .. KernelPlan.Gpu.Models.SelectMany(model => KernelPlan.Gpu.GemmRows.Select(rows => $"GEMMs of a decode step, {model.Title}, batch {rows}")),
        ];
        Assert.Equal(kernels.Order(StringComparer.Ordinal), names.Where(name => !name.StartsWith("TPOT, ", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Contains("TPOT, llama-3.1-8b, batch 1, context 512", names);
    }

    [Fact]
    public void ReportOfTheScript_IsOfOurFormat()
    {
        using var folder = new TempDirectory();
        string lines = Path.Combine(folder.Path, "lines");
        string report = Path.Combine(folder.Path, "peers.json");
        File.WriteAllText(lines, """
            {"device": "NVIDIA H100", "commit": "torch 2.11"}
            {"entry": {"name": "a", "value": 2.5, "unit": "GB/s", "better": "higher", "low": 2, "high": 3, "samples": 11, "peer": "cuDNN", "headline": true, "time_us": 8}}
            {"entry": {"name": "b", "value": 6, "unit": "ms", "better": "lower", "low": 6, "high": 6, "samples": 3, "peer": "cuBLAS", "headline": true}}

            """);
        Run("--lines", lines, "--out", report);
        BenchReport read = BenchReport.Parse(File.ReadAllText(report), report);
        Assert.Equal(("peers", "NVIDIA H100", "torch 2.11"), (read.Kind, read.Device, read.Commit));
        Assert.Equal([("a", 2.5, "cuDNN", 8.0), ("b", 6.0, "cuBLAS", (double?)null)], read.Entries.Select(entry => (entry.Name, entry.Value, entry.Peer, entry.TimeUs)));
    }

    private static string Run(params string[] arguments) => Tool.RunOrSkip("python3", [Script, .. arguments]);
}
