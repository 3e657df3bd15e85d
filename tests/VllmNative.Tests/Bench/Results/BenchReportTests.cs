using System.Text.Json;
using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>The one format of all benchmarks' files.</summary>
public sealed class BenchReportTests
{
    private static readonly BenchReport Report = new()
    {
        Schema = BenchReport.CurrentSchema,
        Kind = "kernels",
        Device = "NVIDIA H100 80GB HBM3",
        Driver = "580.1",
        Commit = "abc",
        Date = "2026-11-22",
        Command = "vllm-native bench kernels",
        Entries =
        [
            BenchEntry.Of("rope, 1 x 32+8 heads", new Distribution([3, 1, 2]), "GB/s", Better.Higher).Below(4).AsHeadline(),
            BenchEntry.Of("greedy", 10, "us", Better.Lower).Below(8) with { Target = 9, TimeUs = 10 },
        ],
    };

    [Fact]
    public void WhatIsWritten_IsReadAgain()
    {
        BenchReport read = BenchReport.Parse(Report.ToJson(), "file");
        Assert.Equal(Report.Entries, read.Entries);
        Assert.Equal(Report with { Entries = [] }, read with { Entries = [] });
    }

    [Fact]
    public void Fields_HaveSnakeCaseNames_AndAbsentOnesAreLeftOut()
    {
        string json = Report.ToJson();
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement[] entries = [.. document.RootElement.GetProperty("entries").EnumerateArray()];
        Assert.Equal(["name", "value", "unit", "better", "ceiling", "share", "p99", "low", "high", "samples", "headline"], entries[0].EnumerateObject().Select(field => field.Name));
        Assert.Equal(["name", "value", "unit", "better", "ceiling", "share", "target", "time_us"], entries[1].EnumerateObject().Select(field => field.Name));
        Assert.Contains("\"rope, 1 x 32+8 heads\"", json, StringComparison.Ordinal);
        Assert.Equal("higher", entries[0].GetProperty("better").GetString());
    }

    [Fact]
    public void Share_IsOfTheCeiling_WhicheverDirectionIsBetter()
    {
        Assert.Equal(0.5, Report.Entries[0].Share);
        Assert.Equal(0.8, Report.Entries[1].Share);
        Assert.Null(BenchEntry.Of("x", 1, "us", Better.Lower).Share);
    }

    [Theory]
    [InlineData("\"vllm-native-bench/1\"", "\"vllm-native-bench/9\"", "schema is \"vllm-native-bench/9\"")]
    [InlineData("\"kind\"", "\"sort\"", "sort")]
    [InlineData("\"higher\"", "\"sideways\"", "better")]
    [InlineData("\"value\": 2,", "", "value")]
    [InlineData("\"device\": \"NVIDIA H100 80GB HBM3\"", "\"device\": null", "device")]
    public void FileThatIsNoReport_IsNamedWithTheCause(string part, string replacement, string cause)
    {
        string json = Report.ToJson();
        Assert.Contains(part, json, StringComparison.Ordinal);
        VllmException error = Assert.Throws<VllmException>(() => BenchReport.Parse(json.Replace(part, replacement, StringComparison.Ordinal), "some.json"));
        Assert.StartsWith("some.json: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(cause, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"schema\": \"vllm-native-bench/1\"}", true)]
    [InlineData("{\"part\": \"correct\"}", false)]
    [InlineData("[]", false)]
    public void FilesSayWhatTheyAre(string json, bool expected) => Assert.Equal(expected, BenchReport.IsReport(json));

    [Fact]
    public void Distribution_OfManySamples()
    {
        var hundred = new Distribution(Enumerable.Range(1, 100).Select(i => (double)(101 - i)));
        Assert.Equal((1, 100, 50.5, 99, 100), (hundred.Low, hundred.High, hundred.Median, hundred.P99, hundred.Count));
        Distribution rates = new Distribution([1, 2, 4]).Select(time => 8 / time);
        Assert.Equal((2, 8, 4), (rates.Low, rates.High, rates.Median));
        Assert.Equal(5, new Distribution([5]).P99);
    }

    [Theory]
    [InlineData(123456.7, 123457)]
    [InlineData(1.2345678, 1.2346)]
    [InlineData(0.000123456, 0.00012346)]
    [InlineData(0, 0)]
    public void Figures_KeepFiveDigits(double value, double expected) => Assert.Equal(expected, Figures.Round(value));
}
