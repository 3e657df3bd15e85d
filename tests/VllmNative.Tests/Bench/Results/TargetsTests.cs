using VllmNative.Bench.Kernels;
using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Tests.Repository;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>What figures are held against.</summary>
public sealed class TargetsTests
{
    private const string File = """{ "rate": { "share": 0.8 }, "time": { "share": 0.8 }, "fixed": { "value": 7 } }""";

    [Theory]
    [InlineData("rate", true, 80.0)]
    [InlineData("time", false, 125.0)]
    [InlineData("fixed", true, 7.0)]
    [InlineData("other", true, null)]
    public void TargetIsAValue_OrAShareOfTheCeiling(string name, bool higher, double? expected)
    {
        BenchEntry entry = BenchEntry.Of(name, 50, "x", higher ? Better.Higher : Better.Lower).Below(100);
        Assert.Equal(expected, Targets.Parse(File, "file").Apply(entry).Target);
    }

    [Fact]
    public void ShareWithoutACeiling_IsNoTarget() => Assert.Null(Targets.Parse(File, "file").Apply(BenchEntry.Of("rate", 1, "x", Better.Higher)).Target);

    [Theory]
    [InlineData("""{ "rate": { "share": 0 } }""", "target \"rate\" is { \"share\": 0 }")]
    [InlineData("""{ "rate": { "goal": 1 } }""", "target \"rate\" is { \"goal\": 1 }")]
    [InlineData("""{ "rate": 1 }""", "not an object of targets")]
    [InlineData("[]", "not an object of targets")]
    public void BadFile_IsNamedWithTheEntry(string json, string expected)
    {
        VllmException error = Assert.Throws<VllmException>(() => Targets.Parse(json, "some.json"));
        Assert.StartsWith("some.json: " + expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TargetsOfTheRepository_NameWhatIsMeasured()
    {
        string file = RepositoryRoot.Combine("tests/gpu/targets.json");
        string[] names = [.. Targets.Parse(System.IO.File.ReadAllText(file), file).Names];
        Assert.NotEmpty(names);
        HashSet<string> kernels = [.. KernelPlan.Gpu.Attention.Select(shape => shape.Name)];
        string[] beginnings =
        [
            "swap ", "GEMMs of a decode step, ", "sample, ", "greedy, ", "TPOT, ", "TTFT, ", "TTFT without over with prefix cache, ", "output tokens a second, ", "engine thread, processor time of a step, ",
            "GPU idle in steady decode, ", "KV slots wasted, ", "continuous over static batching, ", "ITL ", "all tokens a second of the same work, ",
        ];
        Assert.All(names, name => Assert.True(
            kernels.Contains(name) || beginnings.Any(beginning => name.StartsWith(beginning, StringComparison.Ordinal)), $"nothing measures \"{name}\""));
    }
}
