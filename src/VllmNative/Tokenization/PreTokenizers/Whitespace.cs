namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>The whitespace end of split patterns: <c>\s*[\r\n]+|\s+(?!\S)|\s+</c>.</summary>
internal static class Whitespace
{
    /// <summary>End of the match at <paramref name="start"/>, which is whitespace.</summary>
    public static int End(ReadOnlySpan<char> text, int start, bool newlinesFirst)
    {
        int end = UnicodeClass.RunEnd(text, start, UnicodeClass.Space);
        if (newlinesFirst)
        {
            int newline = text[start..end].LastIndexOfAny('\r', '\n');
            if (newline >= 0)
            {
                return start + newline + 1;
            }
        }

        // The last space before a word is left to that word.
        return end == text.Length || end - start == 1 ? end : end - 1;
    }
}
