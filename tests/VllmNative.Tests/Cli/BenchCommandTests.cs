using VllmNative.Bench.Results;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>`bench` on the CPU: what it prints and writes, and what it refuses.</summary>
public sealed class BenchCommandTests : IDisposable
{
    private static readonly string Tiny = TestAssets.Path("models", "tiny", "qwen3");

    private readonly TempDirectory _folder = new();

    private string JsonFile => Path.Combine(_folder.Path, "out.json");

    [Fact]
    public void Latency_OfATinyModel()
    {
        string targets = _folder.Write("targets.json", """{"TPOT, qwen3, batch 3, context 24": {"value": 0.5}}""");
        CliResult result = CliProcess.Run(
            "bench", "latency", "--model-config", Tiny, "--batch", "1,3", "--context", "24", "--output", "40", "--prompt", "100", "--repeats", "2", "--threads", "1",
            "--json", JsonFile, "--targets", targets);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("latency", report.Kind);
        Assert.StartsWith("vllm-native bench latency --model-config ", report.Command, StringComparison.Ordinal);
        Assert.Null(report.Driver);
        string[] expected =
        [
            "copy on the device", "bf16 GEMM 768 x 768 x 768", .. new[] { "limit", "elsewhere", "weights", "activations", "step buffers", "runtime", "graphs", "reserved", "KV cache", "unused" }.Select(use => $"memory, {use}, qwen3"),
            .. new[] { 1, 3 }.SelectMany(batch => new[] { "TPOT", "ITL p50", "ITL p99", "engine thread, processor time of a step" }
                .Select(what => $"{what}, qwen3, batch {batch}, context 24")),
            "TTFT, qwen3, prompt 100",
        ];
        Assert.Equal(expected, report.Entries.Select(entry => entry.Name));
        Assert.All(report.Entries.Where(entry => !entry.Name.StartsWith("ITL", StringComparison.Ordinal) && !entry.Name.StartsWith("memory", StringComparison.Ordinal)), entry => Assert.True(entry.Value > 0, entry.Name));
        BenchEntry tpot = report.Entries.Single(entry => entry.Name == "TPOT, qwen3, batch 3, context 24");
        Assert.Equal((Better.Lower, "ms", 2, 0.5, true), (tpot.Better, tpot.Unit, tpot.Samples, tpot.Target, tpot.Headline));
        Assert.NotNull(tpot.Share);
        Assert.All(report.Entries.Where(entry => entry.Name is "memory, weights, qwen3" or "memory, KV cache, qwen3"), entry => Assert.True(entry.Value > 0, entry.Name));
        Assert.All(report.Entries, entry => Assert.Contains($"{entry.Name}: ", result.Output, StringComparison.Ordinal));
        Assert.Contains("target 0.5)", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Throughput_OfATinyModel()
    {
        string workload = _folder.Write("mix.json", """{"requests": [[5, 9], [40, 3], [17, 30], [60, 1], [8, 8]]}""");
        CliResult result = CliProcess.Run(
            "bench", "throughput", "--model-config", Tiny, "--workload", workload, "--num-prompts", "4", "--max-num-seqs", "2", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("throughput", report.Kind);
        const string where = "qwen3, mix, 4 requests, 2 at a time";
        Dictionary<string, BenchEntry> entries = report.Entries.ToDictionary(entry => entry.Name);
        BenchEntry output = entries[$"output tokens a second, {where}"];
        BenchEntry all = entries[$"all tokens a second, {where}"];
        // 43 tokens generated, 122 read.
        Assert.Equal(165 / 43.0, all.Value / output.Value, 3);
        Assert.Equal(43 / 4.0, output.Value / entries[$"requests a second, {where}"].Value, 2);
        Assert.Equal(0, entries[$"preemptions, {where}"].Value);
        Assert.InRange(entries[$"KV cache used at most, {where}"].Value, 1, 100);
        Assert.Equal(4, entries[$"TTFT, {where}"].Samples);
        Assert.Equal(3, entries[$"TPOT, {where}"].Samples); // one request has a single token
    }

    [Fact]
    public void Kernels_OfOneGroup()
    {
        CliResult result = CliProcess.Run("bench", "kernels", "--group", "batch", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("kernels", report.Kind);
        Assert.Equal("copy on the device", report.Entries[0].Name);
        Assert.Contains(report.Entries, entry => entry.Name == "batch prepare, 256 rows, 256 tokens");
        Assert.DoesNotContain(report.Entries, entry => entry.Name.Contains("attention", StringComparison.Ordinal));
        Assert.All(report.Entries, entry => Assert.True(entry.Value > 0 && entry.Samples == 11, entry.Name));
    }

    [Theory]
    [InlineData("--batch is \"1,x\", expected whole numbers between commas. (see vllm-native bench latency --help)", "latency", "--model-config", "x", "--batch", "1,x")]
    [InlineData("Option '--model-config' is required. (see vllm-native bench latency --help)", "latency")]
    [InlineData("--output is 1, expected 2 or more: the time between two tokens is measured", "latency", "--model-config", "x", "--output", "1")]
    [InlineData("/no/such/model: no such config.json or model directory", "latency", "--model-config", "/no/such/model")]
    [InlineData("--json is \"/no/such/folder/x.json\": no such folder", "kernels", "--json", "/no/such/folder/x.json")]
    [InlineData("--targets is \"/no/such/file\": no such file", "kernels", "--targets", "/no/such/file")]
    [InlineData("--workload is \"/no/such/file\": no such file", "throughput", "--model-config", "x", "--workload", "/no/such/file")]
    public void WhatCannotBeMeasured_IsOneLine(string message, params string[] arguments)
    {
        CliResult result = CliProcess.Run(["bench", .. arguments]);
        Assert.Equal($"vllm-native: error: {message}{Environment.NewLine}", result.Error);
        Assert.Equal(1, result.ExitCode);
        Assert.Empty(result.Output);
    }

    [Fact]
    public void RequestsThatDoNotFit_AreRefusedBeforeTheyAreMeasured()
    {
        CliResult context = CliProcess.Run("bench", "latency", "--model-config", Tiny, "--batch", "1", "--context", "600", "--prompt", "8");
        Assert.Equal("vllm-native: error: requests of 728 tokens are longer than the context of qwen3, which is 512", Assert.Single(context.ErrorLines));
        CliResult memory = CliProcess.Run(
            "bench", "latency", "--model-config", Tiny, "--batch", "8", "--context", "100", "--output", "12", "--prompt", "8", "--kv-cache-memory-bytes", "1M", "--threads", "1");
        Assert.StartsWith("vllm-native: error: a batch of 8 requests of 100 + 12 tokens needs 56 KV blocks, the cache has ", Assert.Single(memory.ErrorLines), StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();
}
