namespace VllmNative.Tests.Cli;

/// <summary>What a run of the program left.</summary>
internal sealed record CliResult(int ExitCode, string Output, string Error)
{
    /// <summary>The lines of stderr that report an error.</summary>
    internal string[] ErrorLines => [.. Error.Split('\n').Where(line => line.StartsWith("vllm-native: error: ", StringComparison.Ordinal))];
}
