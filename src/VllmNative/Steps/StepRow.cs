namespace VllmNative.Steps;

/// <summary>One scheduled request of a step: compute the next <paramref name="QueryLength"/> tokens of a request row.</summary>
/// <param name="Row">Row of the device's batch state.</param>
/// <param name="QueryLength">Tokens to compute, at least 1.</param>
/// <param name="FirstId">Where its ids begin in <see cref="StepPlan.TokenIds"/>, or -1: the device's last token.</param>
/// <param name="SequenceLength">Tokens in the KV cache after the step.</param>
/// <param name="LogitCount">How many of the last tokens give logits: 1 to sample, 0 inside a chunked prompt, more to score a prompt.</param>
/// <param name="TopLogprobs">Log-probabilities wanted beside the sampled or given token's; -1 = none at all.</param>
internal readonly record struct StepRow(int Row, int QueryLength, int FirstId, int SequenceLength, int LogitCount, int TopLogprobs)
{
    /// <summary>How many of the logits, the first ones, belong to tokens whose next one is given in <see cref="StepPlan.GivenIds"/>.</summary>
    internal int GivenCount { get; init; }

    /// <summary>Whether the last logits are sampled.</summary>
    internal bool Samples => LogitCount > GivenCount;
}
