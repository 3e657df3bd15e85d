namespace VllmNative.Engine;

/// <summary>How likely the model finds a given sequence.</summary>
/// <param name="TokenIds">The tokens that were scored.</param>
/// <param name="TokenLogprobs">The natural logarithm of each one's probability, given everything before it.</param>
public sealed record SequenceScore(IReadOnlyList<int> TokenIds, IReadOnlyList<float> TokenLogprobs)
{
    /// <summary>The natural logarithm of the probability of them all.</summary>
    public double Logprob => TokenLogprobs.Sum(logprob => (double)logprob);

    /// <summary>e to the minus mean log-probability: 1 = certain. NaN when no token was scored.</summary>
    public double Perplexity => Math.Exp(-Logprob / TokenLogprobs.Count);
}
