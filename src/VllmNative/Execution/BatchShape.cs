namespace VllmNative.Execution;

/// <summary>The largest step that buffers are made for.</summary>
/// <param name="MaxSeqs">Request rows.</param>
/// <param name="MaxTokens">Tokens of a step.</param>
/// <param name="MaxLogits">Logits rows of a step.</param>
/// <param name="MaxBlocks">Entries of a block table.</param>
/// <param name="BlockSize">Tokens in a block.</param>
internal sealed record BatchShape(int MaxSeqs, int MaxTokens, int MaxLogits, int MaxBlocks, int BlockSize)
{
    /// <summary>Block table entries that one step can change: what its tokens fill, and a begun block for each row.</summary>
    internal int MaxTableUpdates => (MaxTokens / BlockSize) + (2 * MaxSeqs);
}
