namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Finds the matches of one split pattern.</summary>
internal abstract class SplitScanner
{
    /// <summary>Adds all matches, left to right; none is empty.</summary>
    public abstract void FindAll(ReadOnlySpan<char> text, List<TextRange> matches);
}
