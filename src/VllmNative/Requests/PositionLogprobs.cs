namespace VllmNative.Requests;

/// <summary>The log-probabilities asked for at one generated position.</summary>
/// <param name="Sampled">The token that was chosen.</param>
/// <param name="Top">The most likely tokens, best first.</param>
public sealed record PositionLogprobs(TokenLogprob Sampled, IReadOnlyList<TokenLogprob> Top);
