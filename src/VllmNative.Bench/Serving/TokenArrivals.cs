using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>When the tokens of one request reached its reader, and when the engine had them.</summary>
internal sealed record TokenArrivals(long[] Arrivals, RequestTimings Timings)
{
    /// <summary>Runs one request to its end: greedy, so many tokens whatever they are.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="prompt">The prompt.</param>
    /// <param name="tokens">Tokens to generate.</param>
    /// <param name="onFirst">Called when the first token is there.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <param name="scheduling">What it asks of the prefix cache; null = the defaults.</param>
    internal static async Task<TokenArrivals> ReadAsync(AsyncLlmEngine engine, Prompt prompt, int tokens, Action? onFirst, CancellationToken cancellationToken, RequestScheduling? scheduling = null)
    {
        long[] arrivals = new long[tokens];
        SamplingParams streaming = ParametersFor(tokens) with { OutputKind = OutputKind.Delta };
        int seen = 0;
        RequestOutput? last = null;
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, streaming, scheduling: scheduling, cancellationToken: cancellationToken).ConfigureAwait(false))
        {
            long now = TimeProvider.System.GetTimestamp();
            last = output;
            int count = seen + output.Outputs[0].TokenIds.Count;
            if (seen == 0 && count > 0)
            {
                onFirst?.Invoke();
            }

            // A reader that comes late finds several tokens at once: they have reached it together.
            arrivals.AsSpan(seen, count - seen).Fill(now);
            seen = count;
        }

        return last is { Finished: true, Error: null } && seen == tokens
            ? new TokenArrivals(arrivals, last.Timings)
            : throw new VllmException($"a request of {tokens} output tokens ended after {seen}: {last?.Error ?? "the engine ended it"}");
    }

    /// <summary>Greedy, to exactly so many tokens.</summary>
    internal static SamplingParams ParametersFor(int tokens) => SamplingParams.Greedy with { MaxTokens = tokens, IgnoreEos = true, Detokenize = false };
}
