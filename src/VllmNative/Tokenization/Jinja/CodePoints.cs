namespace VllmNative.Tokenization.Jinja;

/// <summary>Strings by code point, as Python counts them.</summary>
internal static class CodePoints
{
    public static int Count(string text)
    {
        int count = text.Length;
        for (int i = 0; i + 1 < text.Length; i++)
        {
            if (char.IsSurrogatePair(text[i], text[i + 1]))
            {
                count--;
                i++;
            }
        }

        return count;
    }

    /// <summary>Where each code point begins, and the length at the end.</summary>
    public static int[] Offsets(string text)
    {
        int[] offsets = new int[Count(text) + 1];
        int at = 0;
        for (int i = 0; i < text.Length; i++)
        {
            offsets[at++] = i;
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
            {
                i++;
            }
        }

        offsets[at] = text.Length;
        return offsets;
    }
}
