namespace VllmNative.Scheduling;

/// <summary>What a step's parts cost, in seconds: all that a <see cref="StepTimeModel"/> has learned. Each is finite and at least 0.</summary>
/// <param name="SecondsPerStep">Of every step: above all, reading the weights.</param>
/// <param name="SecondsPerPrefillStep">More, when there is any prefill.</param>
/// <param name="SecondsPerRow">Of a row, prefill or decode.</param>
/// <param name="SecondsPerPrefillToken">Of a prefill row's token.</param>
/// <param name="SecondsPerKvToken">Of a token in the KV cache that a decode row reads.</param>
/// <param name="SecondsPerAttentionToken">Of a pair that prefill attends to; see <see cref="StepLoad.AttentionTokens"/>.</param>
internal sealed record StepTimeCoefficients(
    double SecondsPerStep,
    double SecondsPerPrefillStep,
    double SecondsPerRow,
    double SecondsPerPrefillToken,
    double SecondsPerKvToken,
    double SecondsPerAttentionToken);
