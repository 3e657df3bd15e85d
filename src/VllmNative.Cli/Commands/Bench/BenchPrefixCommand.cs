using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What the prefix cache brings.</summary>
internal static class BenchPrefixCommand
{
    internal static Command Create()
    {
        Option<int?> requests = NumberOption.Integer("--num-prompts", "Requests. Default: 64.");
        Option<int?> common = NumberOption.Integer("--prefix-len", "Tokens with which every prompt begins. Default: 1500.");
        Option<int?> own = NumberOption.Integer("--suffix-len", "Tokens of its own that each prompt has behind them. Default: 50.");
        return ServingBenchCommand.Create(
            "prefix",
            "Time to first token of requests with a common beginning, with the prefix cache and without it.",
            [requests, common, own],
            (parsed, engine) => new PrefixSettings
            {
                Engine = engine,
                Requests = parsed.GetValue(requests) ?? 64,
                PrefixTokens = parsed.GetValue(common) ?? 1500,
                SuffixTokens = parsed.GetValue(own) ?? 50,
            },
            PrefixBench.RunAsync);
    }
}
