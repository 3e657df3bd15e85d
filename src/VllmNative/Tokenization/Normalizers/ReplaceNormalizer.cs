namespace VllmNative.Tokenization.Normalizers;

/// <summary>Replaces a fixed string.</summary>
internal sealed class ReplaceNormalizer(string pattern, string content) : Normalizer
{
    public override string Apply(string text) => text.Replace(pattern, content, StringComparison.Ordinal);
}
