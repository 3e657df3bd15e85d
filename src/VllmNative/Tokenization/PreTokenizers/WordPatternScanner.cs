namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>
/// The GPT family of split patterns, by hand: linear time, and right for characters beyond the BMP, where
/// .NET regular expressions see two surrogates. Alternatives are tried in the order of the pattern:
/// contraction, letters, numbers, other characters, whitespace.
/// </summary>
internal sealed class WordPatternScanner : StepScanner
{
    private readonly bool _anyPrefix;
    private readonly bool _ignoreCase;
    private readonly int _maxNumbers;
    private readonly byte _letters;

    private WordPatternScanner(bool anyPrefix, bool ignoreCase, int maxNumbers, byte letters)
    {
        _anyPrefix = anyPrefix;
        _ignoreCase = ignoreCase;
        _maxNumbers = maxNumbers;
        _letters = letters;
    }

    /// <summary><c>'s|...| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c></summary>
    public static WordPatternScanner Gpt2 { get; } = new(false, false, int.MaxValue, UnicodeClass.Letter);

    /// <summary>
    /// <c>(?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>,
    /// with the number of digits as a parameter, and marks counted as letters or not.
    /// </summary>
    public static WordPatternScanner Modern(int maxNumbers, bool marksAreLetters) => new(
        true, true, maxNumbers, marksAreLetters ? (byte)(UnicodeClass.Letter | UnicodeClass.Mark) : UnicodeClass.Letter);

    protected override bool Next(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        start = from;
        end = from < text.Length ? Match(text, from) : from;
        return end > from;
    }

    private int Match(ReadOnlySpan<char> text, int i)
    {
        char c = text[i];
        if (c == '\'')
        {
            int contraction = ContractionLength(text, i);
            if (contraction > 0)
            {
                return i + contraction;
            }
        }

        byte flags = UnicodeClass.At(text, i, out int width);
        int next = i + width;
        byte nextFlags = next < text.Length ? UnicodeClass.At(text, next, out _) : (byte)0;

        if ((flags & _letters) != 0)
        {
            // A mark may also be the optional prefix; either way the run is the same.
            return UnicodeClass.RunEnd(text, next, _letters);
        }

        bool prefix = _anyPrefix ? (flags & (UnicodeClass.Newline | UnicodeClass.Letter | UnicodeClass.Number)) == 0 : c == ' ';
        if (prefix && (nextFlags & _letters) != 0)
        {
            return UnicodeClass.RunEnd(text, next, _letters);
        }

        if ((flags & UnicodeClass.Number) != 0)
        {
            return NumbersEnd(text, i);
        }

        if (!_anyPrefix && c == ' ' && (nextFlags & UnicodeClass.Number) != 0)
        {
            return NumbersEnd(text, next);
        }

        byte notOther = (byte)(UnicodeClass.Space | UnicodeClass.Number | _letters);
        if ((flags & UnicodeClass.Space) == 0)
        {
            return OthersEnd(text, next, notOther);
        }

        if (c == ' ' && next < text.Length && (nextFlags & notOther) == 0)
        {
            return OthersEnd(text, next, notOther);
        }

        return Whitespace.End(text, i, newlinesFirst: _anyPrefix);
    }

    private int NumbersEnd(ReadOnlySpan<char> text, int i)
    {
        for (int count = 0; count < _maxNumbers && i < text.Length; count++)
        {
            if ((UnicodeClass.At(text, i, out int width) & UnicodeClass.Number) == 0)
            {
                break;
            }

            i += width;
        }

        return i;
    }

    private int OthersEnd(ReadOnlySpan<char> text, int i, byte notOther)
    {
        i = UnicodeClass.RunEndOutside(text, i, notOther);
        while (_anyPrefix && i < text.Length && text[i] is '\r' or '\n')
        {
            i++;
        }

        return i;
    }

    private int ContractionLength(ReadOnlySpan<char> text, int i)
    {
        char first = Fold(text, i + 1);
        if (first is 's' or 't' or 'm' or 'd')
        {
            return 2;
        }

        char second = Fold(text, i + 2);
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    private char Fold(ReadOnlySpan<char> text, int i)
    {
        if (i >= text.Length)
        {
            return '\0';
        }

        // U+017F (long s) folds to s, as Unicode case-insensitive matching has it.
        return !_ignoreCase ? text[i] : text[i] == '\u017F' ? 's' : char.ToLowerInvariant(text[i]);
    }
}
