namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Occurrences of a fixed string.</summary>
internal sealed class LiteralScanner(string literal) : StepScanner
{
    protected override bool Next(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        int skip = text[from..].IndexOf(literal, StringComparison.Ordinal);
        start = skip < 0 ? text.Length : from + skip;
        end = skip < 0 ? start : start + literal.Length;
        return end > start;
    }
}
