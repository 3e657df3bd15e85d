using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using VllmNative.Cli.Commands.Bench;
using VllmNative.Cli.Rendering;

namespace VllmNative.Cli.Commands;

/// <summary>The root command, and the one place where errors become a line and an exit code.</summary>
internal static class CliApplication
{
    private static readonly Option<bool> Verbose = new("--verbose")
    {
        Description = "On an error, print the stack trace too.",
        Recursive = true,
    };

    internal static RootCommand CreateRoot()
    {
        var root = new RootCommand("Runs language models on this machine, in this process. Start with: vllm-native demo");
        root.Options.Add(Verbose);
        root.Subcommands.Add(DemoCommand.Create());
        root.Subcommands.Add(CompleteCommand.Create());
        root.Subcommands.Add(ChatCommand.Create());
        root.Subcommands.Add(BenchCommand.Create());
        root.Subcommands.Add(SimulateCommand.Create());
        root.Subcommands.Add(DoctorCommand.Create());
        return root;
    }

    // A prompt may start with '@', so that nothing on the command line is a response file.
    internal static ParseResult Parse(RootCommand root, IReadOnlyList<string> arguments) =>
        root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });

    internal static async Task<int> RunAsync(IReadOnlyList<string> arguments)
    {
        ParseResult parsed = Parse(CreateRoot(), arguments);
        if (parsed.Action is ParseErrorAction)
        {
            string help = $"vllm-native {CommandPath(parsed)}--help";
            ErrorLine.Write($"{string.Join(" ", parsed.Errors.Select(error => error.Message))} (see {help})");
            return ExitCode.Error;
        }

        try
        {
            // Signals are each command's own business: in chat, Ctrl-C ends an answer and not the program.
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return await parsed.InvokeAsync(configuration).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception error)
        {
            ErrorLine.Write(error, parsed.GetValue(Verbose));
            return ExitCode.Error;
        }
    }

    // The names of the command and of those above it, each with a space behind.
    private static string CommandPath(ParseResult parsed)
    {
        string path = "";
        for (SymbolResult? result = parsed.CommandResult; result is CommandResult { Command: not RootCommand } command; result = result.Parent)
        {
            path = command.Command.Name + " " + path;
        }

        return path;
    }
}
