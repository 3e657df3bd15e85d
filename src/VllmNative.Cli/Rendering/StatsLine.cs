using VllmNative.Requests;

namespace VllmNative.Cli.Rendering;

/// <summary>The footer of an answer, on stderr.</summary>
internal static class StatsLine
{
    internal static void Write(RequestOutput output)
    {
        CompletionOutput completion = output.Outputs[0];
        int tokens = completion.TokenIds.Count;
        RequestTimings timings = output.Timings;
        Console.Error.WriteLine(
            $"[{tokens} tokens after {output.PromptTokenIds.Count}, {Units.Rate(tokens, timings.Total)}, TTFT {Units.Milliseconds(timings.TimeToFirstToken)}, " +
            $"TPOT {Units.Milliseconds(timings.TimePerOutputToken(tokens))}, {completion.FinishReason.ToString().ToLowerInvariant()}]");
    }
}
