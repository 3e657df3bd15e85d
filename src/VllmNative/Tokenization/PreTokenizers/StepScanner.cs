namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>A scanner written by hand, which finds one match after the other.</summary>
internal abstract class StepScanner : SplitScanner
{
    public sealed override void FindAll(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        for (int at = 0; at < text.Length && Next(text, at, out int start, out int end); at = end)
        {
            matches.Add(new TextRange(start, end - start));
        }
    }

    /// <summary>Finds the next match at or after <paramref name="from"/>; false when there is none.</summary>
    protected abstract bool Next(ReadOnlySpan<char> text, int from, out int start, out int end);
}
