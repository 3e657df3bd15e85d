using System.Text.Json;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Recording;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>`simulate`: the table, the JSON, and what it refuses.</summary>
public sealed class SimulateCommandTests : IDisposable
{
    private readonly TempDirectory _folder = new();
    private readonly string _trace;

    public SimulateCommandTests() => _trace = _folder.Write("t.jsonl", string.Join(
        "\n",
        [TraceText.Header, .. Enumerable.Range(1, 40).Select(i => TraceText.Step(i, 0.01 * i, 0.009)), TraceText.Request(1, 0, 9, 8, [1, 2, 3, 4]), TraceText.Request(2, 0, 9, 8, [1, 2, 7, 8]), ""]));

    [Fact]
    public void The_table_says_recorded_simulated_and_changed()
    {
        CliResult result = CliProcess.Run("simulate", _trace, "--max-num-seqs", "1", "--no-prefix-caching");
        Assert.Equal("", result.Error);
        string[] lines = result.Output.Split(Environment.NewLine);
        Assert.Equal("m on cpu; error = simulated against recorded, change = changed against simulated", lines[0]);
        // A step of this trace has other rows than its requests would have had.
        Assert.Equal("with the recorded step times the first 0 of 40 steps are planned as they were", lines[1]);
        Assert.Equal(["recorded", "simulated", "error", "changed", "change"], lines[2].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(["requests", "2", "2", "0.0%", "2", "0.0%"], lines[3].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        string disk = _folder.Write("disk.jsonl", File.ReadAllText(_trace).Replace("\"prefix_caching\"", "\"disk_tier\":true,\"prefix_caching\"", StringComparison.Ordinal));
        Assert.Contains("the engine had a tier on disk, which is not simulated: what it brought back is computed", CliProcess.Run("simulate", disk).Output.Split(Environment.NewLine));
        Assert.Contains(lines, line => line.StartsWith("TPOT p50, ms ", StringComparison.Ordinal));
        // The same again: nothing depends on when it runs.
        Assert.Equal(result.Output, CliProcess.Run("simulate", _trace, "--max-num-seqs", "1", "--no-prefix-caching").Output);
    }

    [Fact]
    public void Json_has_the_same_figures()
    {
        CliResult result = CliProcess.Run("simulate", _trace, "--json", "--scheduling-policy", "priority", "--enable-prefix-caching", "--kv-offloading-size", "0.001", "--host-bandwidth", "0.5");
        Assert.Equal("", result.Error);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        JsonElement root = document.RootElement;
        Assert.Equal((2, 16), (root.GetProperty("simulated").GetProperty("requests").GetInt32(), root.GetProperty("changed").GetProperty("output_tokens").GetInt32()));
        Assert.Equal((40, 0, 0), (root.GetProperty("steps").GetInt32(), root.GetProperty("steps_planned_alike").GetInt32(), root.GetProperty("changed").GetProperty("host_hit_tokens").GetInt32()));
        Assert.True(root.GetProperty("simulated").GetProperty("tpot").GetProperty("p50").GetDouble() > 0.005);
    }

    [Fact]
    public void What_cannot_be_simulated_is_one_line()
    {
        Assert.Equal("vllm-native: error: simulation options: SchedulingPolicy is \"x\", expected one of fcfs, priority, fair, shortest-predicted", Error(_trace, "--scheduling-policy", "x"));
        Assert.Equal("vllm-native: error: simulation options: KvOffloadSpace is -1 GiB, expected 0..4; HostBandwidth is 0 GB/s, expected 0.001..10000", Error(_trace, "--kv-offloading-size", "-1", "--host-bandwidth", "0"));
        Assert.StartsWith("vllm-native: error: /no/such/trace: cannot be read: ", Error("/no/such/trace"), StringComparison.Ordinal);
        Assert.Equal("vllm-native: error: --no-prefix-caching and --enable-prefix-caching exclude each other. (see vllm-native simulate --help)", Error(_trace, "--no-prefix-caching", "--enable-prefix-caching"));
        string broken = _folder.Write("broken.jsonl", TraceText.Header + "\n{\"step\":1}\n");
        Assert.Equal($"vllm-native: error: {broken}: line 2: rows is missing", Error(broken));
    }

    public void Dispose() => _folder.Dispose();

    private static string Error(params string[] arguments)
    {
        CliResult result = CliProcess.Run(["simulate", .. arguments]);
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        return Assert.Single(result.ErrorLines);
    }
}
