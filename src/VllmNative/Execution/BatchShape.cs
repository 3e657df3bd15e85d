namespace VllmNative.Execution;

/// <summary>The largest step that buffers are made for.</summary>
/// <param name="MaxSeqs">Request rows.</param>
/// <param name="MaxTokens">Tokens of a step.</param>
/// <param name="MaxLogits">Logits rows of a step.</param>
/// <param name="MaxBlocks">Entries of a block table.</param>
/// <param name="BlockSize">Tokens in a block.</param>
internal sealed record BatchShape(int MaxSeqs, int MaxTokens, int MaxLogits, int MaxBlocks, int BlockSize)
{
    /// <summary>
    /// Block table entries that one step can change: what its tokens fill, a begun block for each row, and the tables of requests
    /// that come with blocks. Of those, one of the longest always fits; more wait for the next step.
    /// </summary>
    internal int MaxTableUpdates => (MaxTokens / BlockSize) + (2 * MaxSeqs) + Math.Max(MaxBlocks, 8192);
}
