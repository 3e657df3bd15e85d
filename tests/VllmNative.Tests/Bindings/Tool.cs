using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>A program that a test needs; a machine without it skips the test and says so.</summary>
internal static class Tool
{
    /// <summary>Runs a program and returns its output; skips the test when there is no such program.</summary>
    public static string RunOrSkip(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process? process = null;
        try
        {
            process = Process.Start(start);
        }
        catch (Win32Exception error)
        {
            Assert.Skip($"{program} cannot be run: {error.Message}");
        }
        using (process)
        {
            Task<string> errors = process!.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {errors.Result}");
            return output;
        }
    }
}
