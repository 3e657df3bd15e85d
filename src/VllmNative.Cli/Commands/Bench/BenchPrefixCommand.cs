using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What the prefix cache brings.</summary>
internal static class BenchPrefixCommand
{
    internal static Command Create()
    {
        var command = new Command("prefix", "Time to first token of requests with a common beginning, with the prefix cache and without it.");
        Option<int?> requests = NumberOption.Integer("--num-prompts", "Requests. Default: 64.");
        Option<int?> common = NumberOption.Integer("--prefix-len", "Tokens with which every prompt begins. Default: 1500.");
        Option<int?> own = NumberOption.Integer("--suffix-len", "Tokens of its own that each prompt has behind them. Default: 50.");
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        foreach (Option option in (Option[])[requests, common, own])
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(async parsed =>
        {
            using var interrupt = new Interrupt();
            var settings = new PrefixSettings
            {
                Engine = engine.Build(parsed),
                Requests = parsed.GetValue(requests) ?? 64,
                PrefixTokens = parsed.GetValue(common) ?? 1500,
                SuffixTokens = parsed.GetValue(own) ?? 50,
            };
            BenchOutput output = report.Open(parsed);
            output.Write(await PrefixBench.RunAsync(settings, output.Command, output.Show, interrupt.Token).ConfigureAwait(false));
            return ExitCode.Ok;
        });
        return command;
    }
}
