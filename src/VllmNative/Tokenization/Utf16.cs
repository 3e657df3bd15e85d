using System.Text;

namespace VllmNative.Tokenization;

/// <summary>Helpers for texts that may hold half a surrogate pair.</summary>
internal static class Utf16
{
    /// <summary>
    /// Replaces lone surrogates by U+FFFD, which is what encoding to UTF-8 makes of them.
    /// Positions stay what they were; a valid text is returned as it is.
    /// </summary>
    public static string Sanitize(string text)
    {
        int bad = IndexOfLoneSurrogate(text, 0);
        if (bad < 0)
        {
            return text;
        }

        char[] chars = text.ToCharArray();
        for (; bad >= 0; bad = IndexOfLoneSurrogate(text, bad + 1))
        {
            chars[bad] = (char)Rune.ReplacementChar.Value;
        }

        return new string(chars);
    }

    private static int IndexOfLoneSurrogate(string text, int from)
    {
        for (int i = from; i < text.Length; i++)
        {
            int skip = text.AsSpan(i).IndexOfAnyInRange('\uD800', '\uDFFF');
            if (skip < 0)
            {
                return -1;
            }

            i += skip;
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
            {
                i++;
                continue;
            }

            return i;
        }

        return -1;
    }
}
