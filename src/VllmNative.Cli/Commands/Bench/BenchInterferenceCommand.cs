using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What long prompts do to requests that decode.</summary>
internal static class BenchInterferenceCommand
{
    internal static Command Create()
    {
        Option<int?> streams = NumberOption.Integer("--streams", "Requests that decode side by side. Default: 64.");
        Option<int?> context = NumberOption.Integer("--context", "Prompt tokens of each. Default: 512.");
        Option<int?> output = NumberOption.Integer("--output", "Tokens that each generates, alone and beside prompts; they bound the run. Default: 768.");
        Option<int?> promptTokens = NumberOption.Integer("--prompt-tokens", "Tokens of each long prompt. Default: 16384.");
        Option<int?> prompts = NumberOption.Integer("--prompts", "Long prompts, one after the other. Default: 3.");
        Option<int?> chunk = NumberOption.Integer("--chunk", "Tokens of a step where chunks are fixed. Default: 2048.");
        Option<double?> factor = NumberOption.Fraction("--target-factor", "The latency target over the median of decoding alone. Default: 1.5.");
        return ServingBenchCommand.Create(
            "interference",
            "Pauses between tokens of requests that decode while long prompts enter, with fixed chunks and with a latency target; throughput of the same work.",
            [streams, context, output, promptTokens, prompts, chunk, factor],
            (parsed, engine) => new InterferenceSettings
            {
                Engine = engine,
                Streams = parsed.GetValue(streams) ?? 64,
                Context = parsed.GetValue(context) ?? 512,
                Output = parsed.GetValue(output) ?? 768,
                PromptTokens = parsed.GetValue(promptTokens) ?? 16384,
                Prompts = parsed.GetValue(prompts) ?? 3,
                Chunk = parsed.GetValue(chunk) ?? 2048,
                TargetFactor = parsed.GetValue(factor) ?? 1.5,
            },
            InterferenceBench.RunAsync);
    }
}
