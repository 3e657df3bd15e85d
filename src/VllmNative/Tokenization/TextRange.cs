namespace VllmNative.Tokenization;

/// <summary>A half-open range of UTF-16 positions in a text.</summary>
/// <param name="Start">First position.</param>
/// <param name="Length">Number of positions.</param>
public readonly record struct TextRange(int Start, int Length)
{
    /// <summary>First position after the range.</summary>
    public int End => Start + Length;
}
