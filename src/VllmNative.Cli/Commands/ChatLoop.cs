using System.Runtime.InteropServices;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;

namespace VllmNative.Cli.Commands;

/// <summary>
/// Reads lines and answers them. On a terminal, Ctrl-C ends the answer that is being written; pressed again at the prompt it
/// ends the program. A message that fails is reported, and the next one is read.
/// </summary>
internal sealed class ChatLoop(ChatSession session, bool interactive)
{
    private readonly Lock _sync = new();
    private CancellationTokenSource? _answer;
    private bool _interrupted;

    internal async Task<int> RunAsync()
    {
        // Without a terminal nobody is there to go on after Ctrl-C: the signal does what it always does.
        using PosixSignalRegistration? signal = interactive ? PosixSignalRegistration.Create(PosixSignal.SIGINT, OnInterrupt) : null;
        if (interactive)
        {
            Console.Error.WriteLine("Type a message; /help lists the commands.");
        }

        int exitCode = ExitCode.Ok;
        while (ReadLine() is { } line)
        {
            lock (_sync)
            {
                _interrupted = false;
            }

            if (ChatCommands.TryRun(line, session, out bool exit))
            {
                if (exit)
                {
                    break;
                }
            }
            else if (line.Length > 0 && !await TryAnswerAsync(line).ConfigureAwait(false))
            {
                // On a terminal the user has seen it; a script only sees the exit code.
                exitCode = interactive ? ExitCode.Ok : ExitCode.Error;
            }
        }

        return exitCode;
    }

    private string? ReadLine()
    {
        if (interactive)
        {
            Console.Out.Write("> ");
        }

        return Console.In.ReadLine()?.Trim();
    }

    private async Task<bool> TryAnswerAsync(string line)
    {
        using var source = new CancellationTokenSource();
        lock (_sync)
        {
            _answer = source;
        }

        try
        {
            await session.AnswerAsync(line, source.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("[cancelled]");
            return true;
        }
        catch (Exception error) when (error is not EngineDeadException)
        {
            ErrorLine.Write(error, verbose: false);
            return false;
        }
        finally
        {
            lock (_sync)
            {
                _answer = null;
            }
        }
    }

    // Runs on a thread of the runtime.
    private void OnInterrupt(PosixSignalContext context)
    {
        lock (_sync)
        {
            context.Cancel = _answer is not null || !_interrupted;
            _interrupted = true;
            if (_answer is not null)
            {
                _answer.Cancel();
            }
            else if (context.Cancel)
            {
                Console.Error.WriteLine();
                Console.Error.WriteLine("Press Ctrl-C again, or type /exit, to leave.");
                Console.Out.Write("> ");
            }
        }
    }
}
