namespace VllmNative.Requests;

/// <summary>A token's log-probability at one position.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Logprob">Natural logarithm of its probability, from the model's logits before any processing.</param>
/// <param name="Rank">1 = the most likely.</param>
public readonly record struct TokenLogprob(int TokenId, float Logprob, int Rank);
