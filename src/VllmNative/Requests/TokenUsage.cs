namespace VllmNative.Requests;

/// <summary>Tokens that a request used so far.</summary>
/// <param name="PromptTokens">Tokens of the prompt, counted once.</param>
/// <param name="CompletionTokens">Tokens generated, over all completions, also those that best_of leaves out; of a beam search those that are returned.</param>
/// <param name="CachedTokens">Of the prompt's tokens, those that came from the prefix cache.</param>
public readonly record struct TokenUsage(int PromptTokens, int CompletionTokens, int CachedTokens)
{
    /// <summary>Prompt and completions.</summary>
    public int TotalTokens => PromptTokens + CompletionTokens;
}
