namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Runs of one character class, up to a length counted in scalars: <c>\p{N}{1,3}</c> and the like.</summary>
internal sealed class ClassRunScanner(byte mask, int maxLength) : StepScanner
{
    protected override bool Next(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        start = UnicodeClass.RunEndOutside(text, from, mask);
        end = start;
        for (int count = 0; count < maxLength && end < text.Length; count++)
        {
            if ((UnicodeClass.At(text, end, out int width) & mask) == 0)
            {
                break;
            }

            end += width;
        }

        return end > start;
    }
}
