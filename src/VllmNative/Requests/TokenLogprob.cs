namespace VllmNative.Requests;

/// <summary>A token's log-probability at one position.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Logprob">Natural logarithm of its probability; from which logits, <see cref="LogprobsMode"/> says.</param>
/// <param name="Rank">1 = the most likely; 0 = not counted.</param>
public readonly record struct TokenLogprob(int TokenId, float Logprob, int Rank);
