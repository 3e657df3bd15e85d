using System.Globalization;
using System.Text.RegularExpressions;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>A conversation whose messages come from a file.</summary>
public sealed partial class ChatCommandTests
{
    private const string Question = "Give me JSON for this story. I want to hear about Ruby, a grumpy goat, and a green hat in a quiet valley.";

    [GeneratedRegex(@"\[\d+ tokens after (\d+),")]
    private static partial Regex Footer();

    [Fact]
    public void RedirectedStdin_EachLineIsAnsweredInOneConversation()
    {
        CliResult result = Run($"{Question}\n\nAnother one, please.\n/reset\n{Question}\n");
        string[] answers = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        int[] promptTokens = [.. Footer().Matches(result.Error).Select(match => Number(match.Groups[1].Value))];
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("{\"name\": \"Ruby\", \"animal\": \"goat\"", answers[0], StringComparison.Ordinal);
        Assert.Equal(3, promptTokens.Length);
        Assert.True(promptTokens[1] > promptTokens[0] + 30, "the second prompt holds the first question and its answer");
        Assert.Equal(promptTokens[0], promptTokens[2]);
        Assert.Equal(answers[0], answers[^1]);
    }

    [Fact]
    public void SystemMessage_IsPartOfEveryPrompt()
    {
        int alone = PromptTokens(Run(Question));
        Assert.True(PromptTokens(Run(Question, "--system", "Answer with exactly one sentence.")) > alone);
        Assert.True(PromptTokens(Run($"/system Answer with exactly one sentence.\n{Question}")) > alone);
    }

    [Fact]
    public void Commands_SayTheirPartOnStderrAndExitEndsTheLoop()
    {
        CliResult result = Run($"/help\n/params\n/nothing\n/exit\n{Question}\n", "--top-k", "7");
        Assert.Equal(0, result.ExitCode);
        Assert.Empty(result.Output);
        Assert.Contains("/system TEXT", result.Error, StringComparison.Ordinal);
        Assert.Matches(@"top_k\s+7\b", result.Error);
        Assert.Contains("/nothing is no command", Assert.Single(result.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public void MessageThatDoesNotFit_IsAnErrorAndTheNextIsAnswered()
    {
        CliResult result = Run($"{string.Concat(Enumerable.Repeat("a long story ", 100))}\n{Question}\n", "--max-model-len", "100");
        Assert.Contains("the context holds at most 99", Assert.Single(result.ErrorLines), StringComparison.Ordinal);
        Assert.StartsWith("{\"name\": \"Ruby\"", result.Output, StringComparison.Ordinal);
        Assert.Equal(1, result.ExitCode);
    }

    private static int PromptTokens(CliResult result) => Number(Footer().Match(result.Error).Groups[1].Value);

    private static CliResult Run(string input, params string[] options) => CliProcess.Run(
        input, [], ["chat", "--model", CliProcess.DemoModel, "--dtype", "float32", "--temperature", "0", "--max-tokens", "60", .. options]);

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
