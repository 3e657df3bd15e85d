namespace VllmNative.Requests;

/// <summary>The log-probabilities asked for at one position.</summary>
/// <param name="Sampled">The token that was chosen, or the prompt's own.</param>
/// <param name="Top">The most likely tokens, best first.</param>
public sealed record PositionLogprobs(TokenLogprob Sampled, IReadOnlyList<TokenLogprob> Top)
{
    /// <summary>The tokens that the request named (<see cref="SamplingParams.LogprobTokenIds"/>), in its order; their ranks are 0.</summary>
    public IReadOnlyList<TokenLogprob> Requested { get; init; } = [];
}
