using System.Text.Json;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>The continuation of a text, from the command line to stdout.</summary>
public sealed class CompleteCommandTests
{
    // Prompts whose greedy tokens are clear of ties: a story with line breaks, and JSON.
    [Theory]
    [InlineData(0, false)]
    [InlineData(4, true)]
    public void Temperature0_WritesTheReferencesText(int index, bool onStdin)
    {
        using JsonDocument goldens = JsonDocument.Parse(File.ReadAllText(TestAssets.Path("goldens", "demo-greedy.json")));
        JsonElement golden = goldens.RootElement[index];
        string prompt = golden.GetProperty("prompt").GetString()!;
        string[] arguments =
        [
            "complete", "--model", CliProcess.DemoModel, "--dtype", "float32", "--temperature", "0",
            "--max-tokens", $"{golden.GetProperty("output_ids").GetArrayLength()}", "--kv-cache-memory-bytes", "16M", .. onStdin ? [] : (string[])["--prompt", prompt],
        ];
        // stdin loses one line break at its end: the prompt's own stays.
        CliResult result = CliProcess.Run(onStdin ? prompt + "\n" : "", [], arguments);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(golden.GetProperty("output").GetString() + "\n", result.Output);
    }

    [Fact]
    public void StopText_EndsTheOutputBeforeIt()
    {
        CliResult result = CliProcess.Run(
            "complete", "--model", CliProcess.DemoModel, "--prompt", "Once upon a time", "--temperature", "0", "--max-tokens", "60", "--stop", ".");
        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain('.', result.Output);
        Assert.Contains(", stop]", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Logprobs_AreOneLineATokenOnStderr()
    {
        CliResult result = CliProcess.Run(
            "complete", "--model", CliProcess.DemoModel, "--prompt", "Once upon a time", "--temperature", "0", "--max-tokens", "5", "--logprobs", "2");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(5, result.Error.Split('\n').Count(line => line.Contains(" rank 1: ", StringComparison.Ordinal)));
    }

    [Fact]
    public void ARecordingThatEnds_IsToldOnceOnStderr_AndTheTextComes()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "this system has no device that is always full");
        CliResult result = CliProcess.Run(
            "complete", "--model", CliProcess.DemoModel, "--prompt", "Once upon a time", "--temperature", "0", "--max-tokens", "5", "--record-to", "/dev/full");
        Assert.Equal(0, result.ExitCode);
        Assert.NotEmpty(result.Output.Trim());
        Assert.StartsWith("vllm-native: /dev/full: recording has ended, ", Assert.Single(result.Error.Split('\n'), line => line.Contains("recording", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    [Fact]
    public void PromptWithAnAtSign_IsNoFileName()
    {
        CliResult result = CliProcess.Run(
            "complete", "--model", CliProcess.DemoModel, "--prompt", "@nowhere", "--temperature", "0", "--max-tokens", "1");
        Assert.Equal(0, result.ExitCode);
        Assert.Empty(result.ErrorLines);
    }
}
