using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Repository;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>README's table of continuous against static batching is what the files of results give.</summary>
public sealed class SweepTableTests
{
    [Fact]
    public void ReadmesTable_IsTheFiles()
    {
        string expected = SweepTable.Write(RepositoryRoot.Combine("."));
        string found = SweepTable.Section.Extract(File.ReadAllText(RepositoryRoot.Combine("README.md")));
        Assert.True(expected == found, "README's table of batching is not what the results give: run ./build.sh bench report --gpu-results");
    }

    [Fact]
    public void Table_HasAColumnForEachBatchSize_AndThreeRowsForEachSweep()
    {
        using var folder = new TempDirectory();
        string cpu = Path.Combine(folder.Path, "tests", "VllmNative.Benchmarks", "results");
        string gpu = Path.Combine(folder.Path, "tests", "gpu", "results", "H100");
        Directory.CreateDirectory(cpu);
        Directory.CreateDirectory(gpu);
        Assert.Equal("No figures yet.\n", SweepTable.Write(folder.Path));
        File.WriteAllText(Path.Combine(cpu, "figures.json"), """{"Machine": {}, "Figures": []}""");
        Write(Path.Combine(cpu, "cpu.json"), " Xeon", new BatchSweep("demo", "mix", [new BatchPoint(1, 4, 101.4, 100), new BatchPoint(4, 12, 300, 200)]));
        Write(Path.Combine(gpu, "gpu.json"), "H100", new BatchSweep("large", "mix", [new BatchPoint(4, 12, 900, 500), new BatchPoint(32, 96, 4000, 1600)]));
        Write(Path.Combine(gpu, "one.json"), "H100", new BatchSweep("large", "mix", [new BatchPoint(1, 4, 7, 7)]));
        File.WriteAllText(Path.Combine(gpu, "gpu.svg"), "<svg/>");
        Assert.Equal(
            """
            | output tokens a second, requests at a time: | 1 | 4 | 32 |
            |---|---:|---:|---:|
            | continuous, demo, mix, Xeon | 101 | 300 |  |
            | static, demo, mix, Xeon | 100 | 200 |  |
            | ratio | 1.01 | 1.50 |  |
            | continuous, large, mix, H100 |  | 900 | 4000 |
            | static, large, mix, H100 |  | 500 | 1600 |
            | ratio |  | 1.80 | 2.50 |

            demo, mix, Xeon, 2026-11-22, commit abc, by `measure`.

            large, mix, H100, 2026-11-22, commit abc, by `measure` ([plot](tests/gpu/results/H100/gpu.svg)).

            """,
            SweepTable.Write(folder.Path));
    }

    private static void Write(string file, string device, BatchSweep sweep) => File.WriteAllText(file, new BenchReport
    {
        Schema = BenchReport.CurrentSchema,
        Kind = "batching",
        Device = device,
        Commit = "abc",
        Date = "2026-11-22",
        Command = "measure",
        Entries = [BenchEntry.Of("output tokens a second, continuous batching, all", 1, "tok/s", Better.Higher), .. sweep.Entries()],
    }.ToJson());
}
