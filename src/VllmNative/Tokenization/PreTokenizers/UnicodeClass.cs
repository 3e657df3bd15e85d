using System.Globalization;

namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>The character classes that split patterns speak of, looked up per Unicode scalar.</summary>
internal static class UnicodeClass
{
    public const byte Letter = 1;
    public const byte Number = 2;
    public const byte Space = 4;
    public const byte Newline = 8;
    public const byte Punctuation = 16;
    public const byte Symbol = 32;
    public const byte Mark = 64;

    // Connector punctuation: a word character in regular expressions, besides being punctuation.
    public const byte Connector = 128;

    private static readonly byte[] Table = BuildTable();

    /// <summary>Class of the scalar at <paramref name="index"/>, and how many chars it takes.</summary>
    public static byte At(ReadOnlySpan<char> text, int index, out int width)
    {
        char c = text[index];
        width = 1;
        if (!char.IsHighSurrogate(c) || index + 1 >= text.Length || !char.IsLowSurrogate(text[index + 1]))
        {
            return Table[c];
        }

        width = 2;
        return FromCategory(CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(c, text[index + 1])));
    }

    /// <summary>Class of the scalar that ends before <paramref name="index"/>.</summary>
    public static byte Before(ReadOnlySpan<char> text, int index)
    {
        bool pair = index >= 2 && char.IsSurrogatePair(text[index - 2], text[index - 1]);
        return At(text, pair ? index - 2 : index - 1, out _);
    }

    /// <summary>End of the run of scalars from <paramref name="index"/> whose class is in <paramref name="mask"/>.</summary>
    public static int RunEnd(ReadOnlySpan<char> text, int index, byte mask)
    {
        while (index < text.Length && (At(text, index, out int width) & mask) != 0)
        {
            index += width;
        }

        return index;
    }

    /// <summary>End of the run of scalars from <paramref name="index"/> whose class is not in <paramref name="mask"/>.</summary>
    public static int RunEndOutside(ReadOnlySpan<char> text, int index, byte mask)
    {
        while (index < text.Length && (At(text, index, out int width) & mask) == 0)
        {
            index += width;
        }

        return index;
    }

    /// <summary>Whether the class is that of <c>\w</c>.</summary>
    public static bool IsWord(byte flags) => (flags & (Letter | Number | Mark | Connector)) != 0;

    private static byte[] BuildTable()
    {
        byte[] table = new byte[char.MaxValue + 1];
        for (int c = 0; c < table.Length; c++)
        {
            byte flags = FromCategory(CharUnicodeInfo.GetUnicodeCategory((char)c));
            if (char.IsWhiteSpace((char)c))
            {
                flags |= Space;
            }

            table[c] = c is '\r' or '\n' ? (byte)(flags | Newline) : flags;
        }

        return table;
    }

    private static byte FromCategory(UnicodeCategory category) => category switch
    {
        <= UnicodeCategory.OtherLetter => Letter,
        <= UnicodeCategory.EnclosingMark => Mark,
        <= UnicodeCategory.OtherNumber => Number,
        UnicodeCategory.ConnectorPunctuation => Punctuation | Connector,
        >= UnicodeCategory.DashPunctuation and <= UnicodeCategory.OtherPunctuation => Punctuation,
        >= UnicodeCategory.MathSymbol and <= UnicodeCategory.OtherSymbol => Symbol,
        _ => 0,
    };
}
