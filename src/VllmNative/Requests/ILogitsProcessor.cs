namespace VllmNative.Requests;

/// <summary>Code of the caller that changes a request's logits before each of its tokens is sampled (<see cref="SamplingParams.LogitsProcessors"/>).</summary>
/// <remarks>
/// It runs on the engine's device thread, once for each generated token, and the whole batch waits for it: a slow one delays every
/// request, and one that takes longer than <c>EngineOptions.StepTimeout</c> ends the engine. An object may serve several requests or
/// completions, whose calls interleave: it has no state of its own, or keeps it apart by what it is told; one that is given to several
/// engines is called by several threads at once. A preemption repeats no call; a step that is planned anew, because what it built on
/// had failed, does.
/// </remarks>
public interface ILogitsProcessor
{
    /// <summary>
    /// Changes the logits of the next token in place: as the model gave them in f32, after allow lists, bad words, min_tokens and bias,
    /// before penalties and temperature. An exception, a NaN, +infinity, or a row without any finite logit ends the request with an error.
    /// </summary>
    /// <param name="promptTokens">The prompt's token ids.</param>
    /// <param name="outputTokens">The ids generated so far, empty at first.</param>
    /// <param name="logits">One for each id of the model's vocabulary; -infinity bans a token.</param>
    void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits);
}
