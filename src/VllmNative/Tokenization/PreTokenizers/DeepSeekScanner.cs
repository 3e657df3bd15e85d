namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>
/// <c>[ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>,
/// where numbers and control characters match nothing.
/// </summary>
internal sealed class DeepSeekScanner : StepScanner
{
    private const byte Word = UnicodeClass.Letter | UnicodeClass.Mark;
    private const byte Marks = UnicodeClass.Punctuation | UnicodeClass.Symbol;

    protected override bool Next(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        for (start = from; start < text.Length;)
        {
            end = Match(text, start, out int width);
            if (end > start)
            {
                return true;
            }

            start += width;
        }

        end = start;
        return false;
    }

    private static int Match(ReadOnlySpan<char> text, int i, out int width)
    {
        byte flags = UnicodeClass.At(text, i, out width);
        int next = i + width;
        if (next < text.Length && char.IsAsciiLetter(text[next]) && char.IsAscii(text[i]) && (flags & Marks) != 0)
        {
            int length = text[next..].IndexOfAnyExcept(AsciiLetters);
            return length < 0 ? text.Length : next + length;
        }

        byte nextFlags = next < text.Length ? UnicodeClass.At(text, next, out _) : (byte)0;
        if ((flags & Word) != 0)
        {
            return UnicodeClass.RunEnd(text, next, Word);
        }

        if ((flags & (UnicodeClass.Newline | Marks)) == 0 && (nextFlags & Word) != 0)
        {
            return UnicodeClass.RunEnd(text, next, Word);
        }

        if ((flags & Marks) != 0 || (text[i] == ' ' && (nextFlags & Marks) != 0))
        {
            int end = UnicodeClass.RunEnd(text, next, Marks);
            while (end < text.Length && text[end] is '\r' or '\n')
            {
                end++;
            }

            return end;
        }

        return (flags & UnicodeClass.Space) != 0 ? Whitespace.End(text, i, newlinesFirst: true) : i;
    }

    private static readonly System.Buffers.SearchValues<char> AsciiLetters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}
