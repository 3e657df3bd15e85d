using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Cli.Options;

namespace VllmNative.Cli.Commands.Bench;

/// <summary>What putting KV blocks together brings.</summary>
internal static class BenchDefragmentCommand
{
    internal static Command Create()
    {
        Option<int?> streams = NumberOption.Integer("--streams", "Requests that grow side by side. Default: 16.");
        Option<int?> context = NumberOption.Integer("--context", "Prompt tokens of each. Default: 128.");
        Option<int?> output = NumberOption.Integer("--output", "Tokens that each generates before blocks are swapped. Default: 512.");
        Option<int?> repeats = NumberOption.Integer("--repeats", "How often each is measured, after a round that does not count. Default: 3.");
        return ServingBenchCommand.Create(
            "defragment",
            "How fast KV blocks are swapped as requests that grow side by side leave them, and after Defragment; how long that takes.",
            [streams, context, output, repeats],
            (parsed, engine) => new DefragmentSettings
            {
                Engine = engine,
                Streams = parsed.GetValue(streams) ?? 16,
                Context = parsed.GetValue(context) ?? 128,
                Output = parsed.GetValue(output) ?? 512,
                Repeats = parsed.GetValue(repeats) ?? 3,
            },
            DefragmentBench.RunAsync);
    }
}
