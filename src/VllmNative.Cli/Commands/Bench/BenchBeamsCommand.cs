using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What beam search inside the engine brings.</summary>
internal static class BenchBeamsCommand
{
    internal static Command Create()
    {
        var command = new Command("beams", "Beam search inside the engine, and as a loop of requests that ask for log-probabilities.");
        Option<int?> width = NumberOption.Integer("--beam-width", "Beams. Default: 4.");
        Option<int?> searches = NumberOption.Integer("--num-prompts", "Searches. Default: 8.");
        Option<int?> input = NumberOption.Integer("--input-len", "Tokens of each prompt. Default: 256.");
        Option<int?> output = NumberOption.Integer("--output-len", "Tokens of each sequence. Default: 64.");
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        foreach (Option option in (Option[])[width, searches, input, output])
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(async parsed =>
        {
            using var interrupt = new Interrupt();
            var settings = new BeamSettings
            {
                Engine = engine.Build(parsed),
                Width = parsed.GetValue(width) ?? 4,
                Searches = parsed.GetValue(searches) ?? 8,
                InputTokens = parsed.GetValue(input) ?? 256,
                OutputTokens = parsed.GetValue(output) ?? 64,
            };
            BenchOutput shown = report.Open(parsed);
            shown.Write(await BeamBench.RunAsync(settings, shown.Command, shown.Show, interrupt.Token).ConfigureAwait(false));
            return ExitCode.Ok;
        });
        return command;
    }
}
