namespace VllmNative.Tokenization.Normalizers;

/// <summary>Puts a fixed string before any text that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override string Apply(string text) => text.Length == 0 ? text : prefix + text;
}
