using System.Globalization;
using System.Text.RegularExpressions;
using VllmNative.Cli.Commands;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>The demo as a script sees it.</summary>
public sealed partial class DemoCommandTests
{
    [GeneratedRegex(@"^\((\d+) tokens, (stop|length)\)$", RegexOptions.Multiline)]
    private static partial Regex Ends();

    [Fact]
    public void Redirected_EightAnswersAndATableWithoutEscapes()
    {
        CliResult result = CliProcess.Run("demo", "--greedy", "--seed", "1");
        string[] lines = result.Output.TrimEnd().Split('\n');
        Assert.Equal(0, result.ExitCode);
        Assert.Empty(result.ErrorLines);
        Assert.DoesNotContain('\u001b', result.Output + result.Error);
        for (int i = 0; i < DemoPrompts.All.Count; i++)
        {
            int at = Array.IndexOf(lines, $"[{i + 1}/8] {DemoPrompts.All[i][^1].Content}");
            Assert.True(at >= 0, $"prompt {i + 1} is missing");
            Assert.True(lines[at + 1].Length > 20, $"prompt {i + 1} has no answer");
        }

        Assert.Matches(@"^\s*prompts\s+tokens\s+tok/s\s+TTFT mean\s+TTFT p50\s+TPOT mean\s+KV blocks peak\s*$", lines[^2]);
        Assert.Matches(@"^\s*8\s+\d+\s+\d+\.\d\s+\d+\.\d ms\s+\d+\.\d ms\s+\d+\.\d ms\s+\d+ of \d+\s*$", lines[^1]);
        int tokens = Ends().Matches(result.Output).Sum(match => Number(match.Groups[1].Value));
        Assert.Equal(tokens, Number(lines[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]));
        Assert.NotEqual("0 of", string.Join(' ', lines[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries)[^3..^1]));
    }

    [Fact]
    public void MaxTokens_BoundsEveryAnswer()
    {
        CliResult result = CliProcess.Run("demo", "--max-tokens", "5", "--model", TestAssets.Path("models", "demo-draft"));
        Assert.Equal(0, result.ExitCode);
        MatchCollection ends = Ends().Matches(result.Output);
        Assert.Equal(8, ends.Count);
        Assert.All(ends, match => Assert.InRange(Number(match.Groups[1].Value), 1, 5));
    }

    [Fact]
    public void RequestThatCannotRun_FailsTheCommand()
    {
        CliResult result = CliProcess.Run("demo", "--max-model-len", "8");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("the context holds at most 7", Assert.Single(result.ErrorLines), StringComparison.Ordinal);
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
