using System.Text;

namespace VllmNative.Tests.Tokenization;

/// <summary>Random texts that mix everything split patterns tell apart.</summary>
internal static class TextSamples
{
    private static readonly string[] Parts =
    [
        "a", "B", "the", " the", "don't", "'S", "'\u017f", "'ll", "'", "1", "234", "\u0663", "\u00bd", " ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2003",
        ".", ",", "!?", "_", "--", "\u2014", "\u201c", "$", "\u20ac", "+", "\u00e9", "e\u0301", "\u0300", "\u00df", "\u4e2d\u6587", "\u3042", "\u30ab", "\ud55c",
        "\U0001F600", "\U0001F468\u200d\U0001F469", "\U00010330", "\U00020000", "\U0001D7D8", "\U0001D400", "\u200b", "\ufeff", "\u0000", "\u0007", "\ufffd",
        "<|im_end|>", "<|", "|>", "{", "}", "\"", "\\", "/", "#",
    ];

    public static string Random(Random random, int parts)
    {
        StringBuilder text = new();
        for (int i = 0; i < parts; i++)
        {
            text.Append(Parts[random.Next(Parts.Length)]);
        }

        return text.ToString();
    }
}
