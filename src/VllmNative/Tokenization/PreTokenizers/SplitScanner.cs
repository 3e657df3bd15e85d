namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Finds the matches of one split pattern, left to right.</summary>
internal abstract class SplitScanner
{
    /// <summary>Finds the next match at or after <paramref name="from"/>; false when there is none. A match is never empty.</summary>
    public abstract bool Next(ReadOnlySpan<char> text, int from, out int start, out int end);
}
