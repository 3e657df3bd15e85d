namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>What becomes of the text that a split pattern matches.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}
