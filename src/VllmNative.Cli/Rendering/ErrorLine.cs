using System.Reflection;

namespace VllmNative.Cli.Rendering;

/// <summary>Errors as one line on stderr.</summary>
internal static class ErrorLine
{
    internal static void Write(Exception error, bool verbose)
    {
        Write(Innermost(error).Message);
        if (verbose)
        {
            Console.Error.WriteLine(error);
        }
    }

    internal static void Write(string message) => Console.Error.WriteLine($"vllm-native: error: {OneLine(message)}");

    /// <summary>What went wrong while the command goes on.</summary>
    internal static void WriteTrouble(string message) => Console.Error.WriteLine($"vllm-native: {OneLine(message)}");

    /// <summary>The words of a text of any number of lines, on one.</summary>
    internal static string OneLine(string text) => string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    // These only say that something inside them failed.
    private static Exception Innermost(Exception error) =>
        error is AggregateException or TypeInitializationException or TargetInvocationException && error.InnerException is { } inner ? Innermost(inner) : error;
}
