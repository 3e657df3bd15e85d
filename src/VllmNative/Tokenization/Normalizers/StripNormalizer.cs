namespace VllmNative.Tokenization.Normalizers;

/// <summary>Removes whitespace at the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override string Apply(string text)
    {
        text = left ? text.TrimStart() : text;
        return right ? text.TrimEnd() : text;
    }
}
