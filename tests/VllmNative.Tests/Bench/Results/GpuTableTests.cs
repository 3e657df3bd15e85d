using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Repository;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>README's GPU table is what the files in tests/gpu/results give.</summary>
public sealed class GpuTableTests
{
    [Fact]
    public void ReadmesTable_IsTheFiles()
    {
        string expected = GpuTable.Write(GpuTable.Load(RepositoryRoot.Combine("tests/gpu/results")));
        string found = GpuTable.Section.Extract(File.ReadAllText(RepositoryRoot.Combine("README.md")));
        Assert.True(expected == found, "README's GPU table is not what the results give: run ./build.sh bench report --gpu-results");
    }

    [Fact]
    public void Table_HasAHeadlineARow_WithCeilingShareTargetAndPeers()
    {
        BenchReport kernels = Report(
            "kernels",
            BenchEntry.Of("decode", new Distribution([2712.4, 2713.1, 2710]), "GB/s", Better.Higher).Below(3000) with { TimeUs = 95.25, Target = 2550, Headline = true },
            BenchEntry.Of("detail", 1, "us", Better.Lower));
        BenchReport latency = Report("latency", BenchEntry.Of("TPOT", 6.294, "ms", Better.Lower).Below(5.0352).AsHeadline());
        BenchReport peers = Report(
            "peers",
            BenchEntry.Of("decode", 2830, "GB/s", Better.Higher) with { Peer = "cuDNN", Headline = true },
            BenchEntry.Of("decode", 2430.4, "GB/s", Better.Higher) with { Peer = "FA2", Headline = true },
            BenchEntry.Of("theirs alone", 67.1, "ms", Better.Lower) with { Peer = "HF", Headline = true }) with { Commit = "torch 2.11" };
        string[] lines = GpuTable.Write([latency, peers, kernels]).Split('\n');
        Assert.Equal(
            [
                "| | measured | ceiling | share | target | peers |",
                "|---|---:|---:|---:|---:|---:|",
                "| decode | 2712 GB/s (95.2 us) | 3000 | 90% | 2550 | cuDNN 2830 GB/s; FA2 2430 GB/s |",
                "| TPOT | 6.29 ms | 5.04 | 80% |  |  |",
                "| theirs alone | | | | | HF 67.1 ms |",
                "",
            ],
            lines[2..]);
        Assert.StartsWith("H100, driver 580, 2026-11-22, commit abc.", lines[0], StringComparison.Ordinal);
        Assert.EndsWith(" Peers: torch 2.11.", lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Load_TakesReportsAndLeavesOtherFilesAlone()
    {
        using var folder = new TempDirectory();
        string gpu = Path.Combine(folder.Path, "H100");
        Directory.CreateDirectory(gpu);
        File.WriteAllText(Path.Combine(gpu, "correct.json"), """{"part":"correct","passed":3}""");
        File.WriteAllText(Path.Combine(gpu, "kernels.json"), Report("kernels").ToJson());
        Assert.Equal("kernels", Assert.Single(GpuTable.Load(folder.Path)).Kind);
        Assert.StartsWith("No figures yet", GpuTable.Write([]), StringComparison.Ordinal);
    }

    [Fact]
    public void Section_IsReplacedInPlace_AndAddedWhereThereIsNone()
    {
        var section = new MarkedSection("x");
        string readme = section.Insert("# Title\n", "one\n");
        Assert.Equal("# Title\n\n<!-- x:begin -->\none\n<!-- x:end -->\n", readme);
        Assert.Equal("two\n", section.Extract(section.Insert(readme, "two\n")));
        Assert.Throws<VllmException>(() => section.Insert("<!-- x:end --><!-- x:begin -->", "three\n"));
    }

    private static BenchReport Report(string kind, params BenchEntry[] entries) => new()
    {
        Schema = BenchReport.CurrentSchema,
        Kind = kind,
        Device = "H100",
        Driver = "580",
        Commit = "abc",
        Date = "2026-11-22",
        Command = "vllm-native bench " + kind,
        Entries = entries,
    };
}
