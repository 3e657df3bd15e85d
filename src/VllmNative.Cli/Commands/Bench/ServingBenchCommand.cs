using System.CommandLine;
using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>A benchmark that loads an engine: its own options stand between the engine's and the report's.</summary>
internal static class ServingBenchCommand
{
    /// <param name="kind">The command's name, and the report's kind.</param>
    /// <param name="description">What it measures.</param>
    /// <param name="options">Its own.</param>
    /// <param name="settingsOf">What they say.</param>
    /// <param name="run">Measures.</param>
    internal static Command Create<TSettings>(
        string kind,
        string description,
        IEnumerable<Option> options,
        Func<ParseResult, EngineOptions, TSettings> settingsOf,
        Func<TSettings, BenchRun, CancellationToken, Task<BenchReport>> run)
        where TSettings : ServingSettings
    {
        var command = new Command(kind, description);
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        foreach (Option option in options)
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(async parsed =>
        {
            using var interrupt = new Interrupt();
            TSettings settings = settingsOf(parsed, engine.Build(parsed));
            settings.Validate();
            BenchOutput output = report.Open(parsed);
            (_, string model) = ServingContext.Describe(settings.EngineOptionsFor());
            BenchOutput.Say($"{kind} of {model}: {settings.Describe()}");
            // Some have nowhere to look at the token.
            Task<BenchReport> running = Task.Run(() => run(settings, new BenchRun(kind, output.Command, output.Show), interrupt.Token));
            output.Write(await running.WaitAsync(interrupt.Token).ConfigureAwait(false));
            return ExitCode.Ok;
        });
        return command;
    }
}
