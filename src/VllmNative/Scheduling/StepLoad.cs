using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>What a step computes, as the counts that its duration depends on.</summary>
/// <param name="Rows">All rows.</param>
/// <param name="DecodeRows">Rows of one token: the weights are read for them all at once, the KV cache for each.</param>
/// <param name="PrefillTokens">Tokens of the rows of more than one.</param>
/// <param name="KvTokens">Tokens in the KV cache that the decode rows read, over all of them.</param>
/// <param name="AttentionTokens">Pairs of a token and one that it attends to, over all prefill rows.</param>
internal readonly record struct StepLoad(int Rows, int DecodeRows, int PrefillTokens, long KvTokens, double AttentionTokens)
{
    internal static StepLoad Of(StepPlan plan)
    {
        StepLoad load = default;
        foreach (ref readonly StepRow row in plan.Rows.Span)
        {
            load = load.With(row.QueryLength, row.SequenceLength);
        }

        return load;
    }

    /// <summary>The load without its prefill.</summary>
    internal StepLoad DecodesAlone => this with { Rows = DecodeRows, PrefillTokens = 0, AttentionTokens = 0 };

    /// <summary>The load with one more row.</summary>
    /// <param name="queryLength">Tokens that the row computes, at least 1.</param>
    /// <param name="sequenceLength">Its tokens in the KV cache after the step.</param>
    internal StepLoad With(int queryLength, int sequenceLength) => queryLength == 1
        ? this with { Rows = Rows + 1, DecodeRows = DecodeRows + 1, KvTokens = KvTokens + sequenceLength }
        : this with
        {
            Rows = Rows + 1,
            PrefillTokens = PrefillTokens + queryLength,
            AttentionTokens = AttentionTokens + (queryLength * (sequenceLength - (queryLength / 2.0))),
        };
}
