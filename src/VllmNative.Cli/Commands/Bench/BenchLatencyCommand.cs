using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>Time per output token and time to first token of an engine.</summary>
internal static class BenchLatencyCommand
{
    internal static Command Create()
    {
        Option<int[]> batches = NumberOption.Integers("--batch", "Requests that decode together, such as 1,32,128.", [1, 32, 128]);
        Option<int?> context = NumberOption.Integer("--context", "Prompt tokens of each. Default: 512.");
        Option<int?> output = NumberOption.Integer("--output", "Tokens that each generates, whatever they are. Default: 128.");
        Option<int[]> prompts = NumberOption.Integers("--prompt", "Prompt lengths whose time to first token is measured, one request at a time.", [2048, 8192]);
        Option<int?> repeats = NumberOption.Integer("--repeats", "How often each is measured, after a run that does not count. Default: 3.");
        return ServingBenchCommand.Create(
            "latency",
            "Time per output token at fixed batch and context, time to first token at fixed prompt lengths.",
            [batches, context, output, prompts, repeats],
            (parsed, engine) => new LatencySettings
            {
                Engine = engine,
                Batches = parsed.GetRequiredValue(batches),
                Context = parsed.GetValue(context) ?? 512,
                Output = parsed.GetValue(output) ?? 128,
                Prompts = parsed.GetRequiredValue(prompts),
                Repeats = parsed.GetValue(repeats) ?? 3,
            },
            LatencyBench.RunAsync);
    }
}
