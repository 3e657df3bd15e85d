namespace VllmNative.Scheduling;

/// <summary>What taking a running request's KV blocks costs: swapping them out and in again, or computing them again.</summary>
/// <param name="model">Predicts what computing takes.</param>
/// <param name="bandwidth">Predicts what swapping takes.</param>
/// <param name="chunkTokens">Most tokens that a step computes, at least 1.</param>
internal sealed class PreemptionCost(StepTimeModel model, SwapBandwidth bandwidth, int chunkTokens)
{
    /// <summary>Whether it has seen enough steps to say what computing takes.</summary>
    internal bool Ready => model.Ready;

    /// <summary>
    /// Whether the victim should be swapped. It is recomputed when host memory has no room, when that is cheaper, and while the
    /// model is not ready: recomputing needs nothing but the tokens.
    /// </summary>
    /// <param name="tokens">The victim's tokens in the KV cache.</param>
    /// <param name="tokensExpectedCached">How many of them the prefix cache is expected to hold still when it comes back.</param>
    /// <param name="bytes">Of its blocks.</param>
    /// <param name="hostHasRoom">Whether the swap space can take them.</param>
    internal bool ShouldSwap(int tokens, int tokensExpectedCached, long bytes, bool hostHasRoom) =>
        hostHasRoom && model.Ready && SwapSeconds(bytes) < RecomputeSeconds(tokens, tokensExpectedCached);

    /// <summary>Out and in: the way out counts too, because blocks are free only when it is done.</summary>
    internal double SwapSeconds(long bytes) => 2.0 * bytes / bandwidth.BytesPerSecond;

    /// <summary>By how much the steps get longer that prefill the tokens again, in chunks behind the part that is cached.</summary>
    internal double RecomputeSeconds(int tokens, int tokensExpectedCached)
    {
        // These steps run anyway, for those that decode.
        double anyway = model.Predict(default);
        double seconds = 0;
        for (int computed = tokensExpectedCached; computed < tokens;)
        {
            int chunk = Math.Min(chunkTokens, tokens - computed);
            computed += chunk;
            seconds += model.Predict(default(StepLoad).With(chunk, computed)) - anyway;
        }

        return seconds;
    }
}
