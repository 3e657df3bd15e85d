using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What long prompts do to requests that decode.</summary>
internal static class BenchInterferenceCommand
{
    internal static Command Create()
    {
        var command = new Command("interference", "Pauses between tokens of requests that decode while long prompts enter, with fixed chunks and with a latency target.");
        Option<int?> streams = NumberOption.Integer("--streams", "Requests that decode all the time. Default: 64.");
        Option<int?> context = NumberOption.Integer("--context", "Prompt tokens of each. Default: 512.");
        Option<int?> output = NumberOption.Integer("--output", "Most tokens that each generates; the prompts must be done before. Default: 8192.");
        Option<int?> promptTokens = NumberOption.Integer("--prompt-tokens", "Tokens of each long prompt. Default: 16384.");
        Option<int?> prompts = NumberOption.Integer("--prompts", "Long prompts, one after the other, after one that does not count. Default: 4.");
        Option<int?> steady = NumberOption.Integer("--steady-tokens", "Tokens of each stream over which decoding alone is measured. Default: 200.");
        Option<int?> chunk = NumberOption.Integer("--chunk", "Tokens of a step where chunks are fixed. Default: 2048.");
        Option<double?> factor = NumberOption.Fraction("--target-factor", "The latency target over the median of decoding alone. Default: 1.5.");
        var engine = new BenchEngineOptionSet();
        var report = new BenchReportOptionSet();
        engine.AddTo(command);
        foreach (Option option in (Option[])[streams, context, output, promptTokens, prompts, steady, chunk, factor])
        {
            command.Options.Add(option);
        }

        report.AddTo(command);
        command.SetAction(async parsed =>
        {
            using var interrupt = new Interrupt();
            var settings = new InterferenceSettings
            {
                Engine = engine.Build(parsed),
                Streams = parsed.GetValue(streams) ?? 64,
                Context = parsed.GetValue(context) ?? 512,
                Output = parsed.GetValue(output) ?? 8192,
                PromptTokens = parsed.GetValue(promptTokens) ?? 16384,
                Prompts = parsed.GetValue(prompts) ?? 4,
                SteadyTokens = parsed.GetValue(steady) ?? 200,
                Chunk = parsed.GetValue(chunk) ?? 2048,
                TargetFactor = parsed.GetValue(factor) ?? 1.5,
            };
            BenchOutput results = report.Open(parsed);
            results.Write(await InterferenceBench.RunAsync(settings, results.Command, results.Show, interrupt.Token).ConfigureAwait(false));
            return ExitCode.Ok;
        });
        return command;
    }
}
