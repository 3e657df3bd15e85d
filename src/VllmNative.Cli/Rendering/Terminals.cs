using Spectre.Console;

namespace VllmNative.Cli.Rendering;

/// <summary>Where output goes: results to stdout, everything about them (progress, figures, errors) to stderr.</summary>
internal static class Terminals
{
    /// <summary>Whether stdout can be redrawn.</summary>
    internal static bool IsOutputInteractive => !Console.IsOutputRedirected && Out.Profile.Capabilities.Ansi;

    /// <summary>Whether stderr can be redrawn.</summary>
    internal static bool IsErrorInteractive => !Console.IsErrorRedirected && Error.Profile.Capabilities.Ansi;

    internal static IAnsiConsole Out => AnsiConsole.Console;

    internal static IAnsiConsole Error { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
}
