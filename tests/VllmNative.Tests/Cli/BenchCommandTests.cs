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
    public void Beams_OfATinyModel()
    {
        CliResult result = CliProcess.Run(
            "bench", "beams", "--model-config", Tiny, "--beam-width", "3", "--num-prompts", "2", "--input-len", "20", "--output-len", "6", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        const string where = "qwen3, width 3, 20 + 6 tokens";
        Assert.Equal(
            [
                $"prompt of a beam search, {where}", $"as many completions as a beam search has beams, {where}", $"beam search inside the engine, {where}",
                $"beam search as a loop of requests with prefix cache, {where}", $"beam search as a loop of requests without prefix cache, {where}",
                $"beam search, inside over loop with prefix cache, {where}", $"beam search, inside over loop without prefix cache, {where}",
                $"a step, as many completions as a beam search has beams, {where}", $"a step, beam search inside the engine, {where}",
                $"a step, beam search as a loop of requests with prefix cache, {where}", $"a step, beam search, inside over loop with prefix cache, {where}",
            ],
            report.Entries.Select(entry => entry.Name));
        double[] values = [.. report.Entries.Select(entry => entry.Value)];
        Assert.Equal(values[3] / values[2], values[5], 0.01);
        Assert.Equal(values[4] / values[2], values[6], 0.01);
        for (int way = 1; way <= 3; way++)
        {
            Assert.Equal((values[way] - values[0]) / 5, values[6 + way], 0.05);
        }

        Assert.Equal(values[9] / values[8], values[10], 0.05 * Math.Abs(values[10]));
        Assert.Contains("--beam-width", CliProcess.Run("bench", "beams", "--model-config", Tiny, "--beam-width", "11").Error, StringComparison.Ordinal);
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
        Assert.Equal((0.0, 0.0), (entries[$"preemptions, swapped, {where}"].Value, entries[$"preemptions, recomputed, {where}"].Value));
        // At most two rows of at most 60 tokens in blocks of 16: blocks waste less than whole final lengths, those less than rows.
        BenchEntry waste = entries[$"KV slots wasted, blocks of 16, {where}"];
        Assert.InRange(waste.Value, 0.1, 60);
        Assert.InRange(entries[$"KV slots wasted, had each request reserved 8192, {where}"].Value, 99, 100);
        Assert.InRange(entries[$"KV slots wasted, had each request reserved its final length, {where}"].Value, 1, 60);
        Assert.InRange(entries[$"KV cache used at most, {where}"].Value, 1, 100);
        Assert.Equal(4, entries[$"TTFT, {where}"].Samples);
        Assert.Equal(3, entries[$"TPOT, {where}"].Samples); // one request has a single token
    }

    [Fact]
    public void Batching_OfATinyModel()
    {
        string workload = _folder.Write("mix.json", """{"requests": [[5, 9], [40, 3], [17, 30], [60, 1], [8, 8], [9, 12], [3, 3]]}""");
        string plot = Path.Combine(_folder.Path, "plot.svg");
        CliResult result = CliProcess.Run(
            "bench", "batching", "--model-config", Tiny, "--workload", workload, "--num-prompts", "6", "--static-requests", "3", "--static-model-len", "256", "--batch", "1,3",
            "--max-num-seqs", "8", "--kv-cache-memory-bytes", "2M", "--threads", "1", "--json", JsonFile, "--plot", plot);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("batching", report.Kind);
        const string all = "qwen3, mix, 6 requests";
        const string few = "qwen3, mix, first 3 requests";
        Assert.Equal(
            [
                $"output tokens a second, continuous batching, {all}",
                $"output tokens a second, continuous batching, {few}",
                .. new[] { $"rows for the longest request|{all}", $"rows of 256 tokens|{few}" }.Select(name => name.Split('|')).SelectMany(name => new[]
                {
                    $"static batching, {name[0]}, rows that fit, {name[1]}",
                    $"output tokens a second, static batching, {name[0]}, {name[1]}",
                    $"continuous over static batching, {name[0]}, {name[1]}",
                }),
                .. new[] { "batch 1, qwen3, mix, first 4 requests", "batch 3, qwen3, mix, first 6 requests" }.SelectMany(where => new[]
                {
                    $"output tokens a second, continuous batching, {where}",
                    $"output tokens a second, static batching, {where}",
                    $"continuous over static batching, {where}",
                }),
            ],
            report.Entries.Select(entry => entry.Name));
        Assert.All(report.Entries, entry => Assert.True(entry.Value > 0, entry.Name));
        Dictionary<string, double> values = report.Entries.ToDictionary(entry => entry.Name, entry => entry.Value);
        Assert.Equal(
            values[$"output tokens a second, continuous batching, {few}"] / values[$"output tokens a second, static batching, rows of 256 tokens, {few}"],
            values[$"continuous over static batching, rows of 256 tokens, {few}"],
            2);
        // The same bytes: fewer of the longer rows fit.
        Assert.True(values[$"static batching, rows of 256 tokens, rows that fit, {few}"] < values[$"static batching, rows for the longest request, rows that fit, {all}"]);
        Assert.Contains("   batch  requests    continuous        static   ratio", result.Output, StringComparison.Ordinal);
        Assert.StartsWith("<svg ", File.ReadAllText(plot), StringComparison.Ordinal);
    }

    [Fact]
    public void Prefix_OfATinyModel()
    {
        CliResult result = CliProcess.Run(
            "bench", "prefix", "--model-config", Tiny, "--num-prompts", "4", "--prefix-len", "200", "--suffix-len", "20", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal(("prefix", 12), (report.Kind, report.Entries.Count));
        foreach (string how in (string[])["one at a time", "all at once"])
        {
            string where = $"{how}, qwen3, 4 prompts of 200 common and 20 own tokens";
            Dictionary<string, BenchEntry> entries = report.Entries.ToDictionary(entry => entry.Name);
            // 12 blocks of 16 of each prompt's 220 tokens.
            Assert.Equal(100 * 192 / 220.0, entries[$"prefix cache hits, {where}"].Value, 2);
            BenchEntry without = entries[$"TTFT without prefix cache, {where}"];
            BenchEntry with = entries[$"TTFT with prefix cache, {where}"];
            Assert.Equal((4, 4), (without.Samples, with.Samples));
            Assert.Equal(without.Value / with.Value, entries[$"TTFT without over with prefix cache, {where}"].Value, 0.002 * without.Value / with.Value);
            Assert.Equal((without.High, with.High), (entries[$"TTFT p90 without prefix cache, {where}"].Value, entries[$"TTFT p90 with prefix cache, {where}"].Value));
        }
    }

    [Fact]
    public void Interference_OfATinyModel()
    {
        CliResult result = CliProcess.Run(
            "bench", "interference", "--model-config", LongContext(), "--streams", "2", "--context", "16", "--output", "150", "--prompt-tokens", "300", "--prompts", "2", "--chunk", "64",
            "--target-factor", "3", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        Assert.StartsWith("interference of long: 2 streams of 16 prompt and 150 output tokens: alone, then beside 2 prompts of 300 tokens ", result.Output, StringComparison.Ordinal);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("interference", report.Kind);
        const string streams = "long, 2 streams, context 16";
        const string where = $"{streams}, prompts of 300";
        const string work = "all tokens a second of the same work, 2 x 150 output and 2 x 300 prompt tokens";
        Dictionary<string, BenchEntry> entries = report.Entries.ToDictionary(entry => entry.Name);
        double target = 3 * entries[$"ITL p50, no prompts, {streams}"].Value;
        // All pauses of both, but those of tokens that a late reader found together.
        Assert.InRange(entries[$"ITL p50, no prompts, {streams}"].Samples!.Value, 10, 2 * 149);
        foreach (string how in (string[])["chunks of 64", "target 3 x p50"])
        {
            BenchEntry p99 = entries[$"ITL p99, {how}, {where}"];
            Assert.True(p99.Value >= entries[$"ITL p50, {how}, {where}"].Value);
            Assert.InRange(p99.Target!.Value / target, 0.999, 1.001);
            Assert.True(entries[$"prompt tokens a second beside the streams, {how}, {where}"].Value > 0);
            Assert.InRange(entries[$"prompts of 2 done before the first stream, {how}, {where}"].Value, 0, 2);
        }

        Assert.Equal(
            entries[$"{work}, target 3 x p50, {streams}"].Value / entries[$"{work}, chunks of 64, {streams}"].Value,
            entries[$"all tokens a second of the same work, latency target over chunks of 64, {where}"].Value,
            0.002);
    }

    [Fact]
    public void StreamsThatEndBeforeThePrompts_BoundTheRun()
    {
        CliResult result = CliProcess.Run(
            "bench", "interference", "--model-config", LongContext(), "--streams", "2", "--context", "8", "--output", "40", "--prompt-tokens", "8000", "--prompts", "2", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        Dictionary<string, BenchEntry> entries = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile).Entries.ToDictionary(entry => entry.Name);
        const string how = "target 1.5 x p50, long, 2 streams, context 8, prompts of 8000";
        Assert.Equal(0, entries[$"prompts of 2 done before the first stream, {how}"].Value);
        Assert.True(entries[$"prompt tokens a second beside the streams, {how}"].Value > 0);
    }

    [Fact]
    public void Preemption_OfATinyModel()
    {
        string workload = _folder.Write("mix.json", $$"""{"requests": [{{string.Join(", ", Enumerable.Repeat("[30, 40], [20, 50], [33, 20]", 6))}}]}""");
        CliResult result = CliProcess.Run("bench", "preemption", "--model-config", Tiny, "--workload", workload, "--max-num-seqs", "8", "--pressure", "4", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("preemption", report.Kind);
        // 8 requests of 4 2/3 blocks in the mean, 4 times too many.
        const string where = "qwen3, mix, 18 requests, 9 KV blocks";
        Dictionary<string, double> values = report.Entries.ToDictionary(entry => entry.Name, entry => entry.Value);
        double Rate(string mode) => values[$"output tokens a second, preemption by {mode}, {where}"];
        double Swapped(string mode) => values[$"preemptions, swapped, preemption by {mode}, {where}"];
        double Recomputed(string mode) => values[$"preemptions, recomputed, preemption by {mode}, {where}"];
        Assert.Equal(0, Swapped("recompute"));
        Assert.True(Recomputed("recompute") > 0);
        Assert.True(Swapped("swap") > Recomputed("swap"));
        Assert.DoesNotContain($"swap out and in, measured, preemption by recompute, {where}", values.Keys);
        Assert.True(values[$"swap out and in, measured, preemption by swap, {where}"] > 0);
        double all = Swapped("auto") + Recomputed("auto");
        Assert.Equal(100 * Swapped("auto") / all, values[$"share of preemptions that are swaps, preemption by auto, {where}"], 2);
        Assert.Equal(Rate("auto") / Math.Max(Rate("swap"), Rate("recompute")), values[$"auto over the better of recompute and swap, {where}"], 2);
        Assert.Equal(4, values[$"swap, assumed by auto before the first, {where}"]);
        Assert.True(values[$"swap, assumed by auto in the end, {where}"] > 0);
        Assert.True(values[$"prefill of 64 tokens, assumed by auto in the end, {where}"] > 0);
        Assert.True(values[$"prefill of 64 tokens, measured alone beyond that of one, {where}"] > 0);
    }

    [Fact]
    public void Defragment_OfATinyModel()
    {
        CliResult result = CliProcess.Run(
            "bench", "defragment", "--model-config", LongContext(), "--streams", "4", "--context", "20", "--output", "48", "--repeats", "2", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("defragment", report.Kind);
        const string where = "long, 4 requests of 20 and 48 tokens, blocks of 16";
        Dictionary<string, BenchEntry> entries = report.Entries.ToDictionary(entry => entry.Name);
        BenchEntry before = entries[$"swap out and in, fragmented, {where}"];
        BenchEntry after = entries[$"swap out and in, after Defragment, {where}"];
        Assert.Equal((2, 2), (before.Samples, after.Samples));
        Assert.Equal(after.Value / before.Value, entries[$"swap out and in, after over before Defragment, {where}"].Value, 1);
        Assert.All(report.Entries, entry => Assert.True(entry.Value > 0, entry.Name));
        // Of each of the four requests five blocks lie apart at first.
        Assert.True(entries[$"blocks moved by Defragment, {where}"].Low >= 5);
    }

    [Fact]
    public void Simulation_OfATinyModel()
    {
        string workload = _folder.Write("mix.json", """{"requests": [[5, 9], [40, 30], [17, 30], [60, 1], [8, 8], [9, 12]]}""");
        string trace = Path.Combine(_folder.Path, "trace.jsonl");
        CliResult result = CliProcess.Run(
            "bench", "simulation", "--model-config", Tiny, "--workload", workload, "--max-num-seqs", "2", "--request-rate", "200", "--threads", "1", "--record-to", trace, "--json", JsonFile);
        Assert.Equal("", result.Error);
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal("simulation", report.Kind);
        const string where = "qwen3, mix, 6 requests, 2 at a time, handed in 200 a second";
        Dictionary<string, double> values = report.Entries.ToDictionary(entry => entry.Name, entry => entry.Value);
        foreach (string what in (string[])["output tokens a second", "TTFT p50", "TTFT p99", "ITL p50", "ITL p99"])
        {
            double ratio = values[$"{what}, simulated, {where}"] / values[$"{what}, measured, {where}"];
            Assert.Equal(1, values[$"{what}, simulated over measured, {where}"] / ratio, 2);
        }

        // The warm-up's requests are in the record, and only there.
        Assert.Equal(6, values[$"requests replayed, {where}"]);
        Assert.Equal(12, VllmNative.Recording.TraceReader.Read(trace).Requests.Count);
        Assert.Equal(0, values[$"preemptions, measured, {where}"]);
    }

    [Fact]
    public void Batching_InSoManyStaticRows()
    {
        string workload = _folder.Write("mix.json", """{"requests": [[5, 9], [40, 3], [17, 30], [60, 1], [8, 8], [9, 12], [3, 3]]}""");
        CliResult result = CliProcess.Run(
            "bench", "batching", "--model-config", Tiny, "--workload", workload, "--static-rows", "3", "--static-requests", "0", "--batch", "", "--max-num-seqs", "8",
            "--kv-cache-memory-bytes", "8M", "--threads", "1", "--json", JsonFile);
        Assert.Equal("", result.Error);
        const string where = "qwen3, mix, 7 requests";
        BenchReport report = BenchReport.Parse(File.ReadAllText(JsonFile), JsonFile);
        Assert.Equal(
            [
                $"output tokens a second, continuous batching, {where}",
                $"static batching, 3 rows, rows that fit, {where}",
                $"output tokens a second, static batching, 3 rows, {where}",
                $"continuous over static batching, 3 rows, {where}",
            ],
            report.Entries.Select(entry => entry.Name));
        // Rows are no longer than the model's context: more than three of them would fit.
        Assert.Equal(3, report.Entries[1].Value);
        Assert.DoesNotContain("requests at a time", result.Output, StringComparison.Ordinal);
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
    [InlineData("--num-prompts is 0, expected 1 or more", "prefix", "--model-config", "x", "--num-prompts", "0")]
    [InlineData("--no-enable-prefix-caching is given, expected prefix caching, which is measured", "prefix", "--model-config", "x", "--no-enable-prefix-caching")]
    [InlineData("--streams is 0, expected 1 or more", "interference", "--model-config", "x", "--streams", "0")]
    [InlineData("--target-factor is 1, expected above 1 and at most 100: beside decodes alone nothing fits", "interference", "--model-config", "x", "--target-factor", "1")]
    [InlineData("--output is 1, expected 2 or more: the time between two tokens is measured", "interference", "--model-config", "x", "--output", "1")]
    [InlineData("--streams is 1, expected 2 or more: one alone is not fragmented", "defragment", "--model-config", "x", "--streams", "1")]
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
    public void WhatDoesNotFitTheWorkload_IsOneLine()
    {
        string workload = _folder.Write("mix.json", """{"requests": [[5, 9], [40, 3]]}""");
        string Error(params string[] arguments) => Assert.Single(CliProcess.Run(["bench", .. arguments, "--model-config", Tiny, "--workload", workload, "--threads", "1"]).ErrorLines);
        Assert.Equal("vllm-native: error: --pressure is 1, expected above 1 and at most 1000", Error("preemption", "--pressure", "1"));
        Assert.Equal("vllm-native: error: --request-rate is 0, expected a number above 0", Error("simulation", "--request-rate", "0"));
        Assert.Equal("vllm-native: error: --static-rows is -1, expected 0 or more", Error("batching", "--static-rows", "-1"));
        Assert.StartsWith(
            "vllm-native: error: --static-rows is 1000, expected at most ", Error("batching", "--static-rows", "1000", "--batch", "", "--kv-cache-memory-bytes", "1M"), StringComparison.Ordinal);
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

    // The tiny model with room for long prompts.
    private string LongContext() =>
        _folder.Write("long.json", File.ReadAllText(Path.Combine(Tiny, "config.json")).Replace("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 16384", StringComparison.Ordinal));
}
