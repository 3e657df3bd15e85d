using System.Buffers;

namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Runs of ideographs, hiragana and katakana: <c>[一-龥぀-ゟ゠-ヿ]+</c>.</summary>
internal sealed class CjkRunScanner : StepScanner
{
    private static readonly SearchValues<char> Characters = SearchValues.Create(
        [.. Enumerable.Range('\u4E00', '\u9FA5' - '\u4E00' + 1).Concat(Enumerable.Range('\u3040', 0xC0)).Select(c => (char)c)]);

    protected override bool Next(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        int skip = text[from..].IndexOfAny(Characters);
        start = skip < 0 ? text.Length : from + skip;
        int length = text[start..].IndexOfAnyExcept(Characters);
        end = length < 0 ? text.Length : start + length;
        return end > start;
    }
}
