using System.Diagnostics;

namespace VllmNative.Tests.Cli;

/// <summary>The built program as a child process, beside the tests as the build put it there.</summary>
internal static class CliProcess
{
    private const int TimeoutMilliseconds = 120_000;

    internal static string DemoModel => TestAssets.Path("models", "demo");

    internal static CliResult Run(params string[] arguments) => Run("", [], arguments);

    /// <param name="input">What stdin holds.</param>
    /// <param name="environment">Variables to set; null unsets.</param>
    /// <param name="arguments">The command line.</param>
    internal static CliResult Run(string input, IReadOnlyList<(string Name, string? Value)> environment, params string[] arguments)
    {
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        var start = new ProcessStartInfo(host, ["exec", Path.Combine(AppContext.BaseDirectory, "vllm-native.dll"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string? value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeoutMilliseconds))
        {
            process.Kill();
            throw new TimeoutException($"vllm-native {string.Join(' ', arguments)} did not end");
        }

        return new CliResult(process.ExitCode, output.Result, error.Result);
    }
}
