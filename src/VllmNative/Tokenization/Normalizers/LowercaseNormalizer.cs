namespace VllmNative.Tokenization.Normalizers;

/// <summary>Lower case, independent of the culture.</summary>
internal sealed class LowercaseNormalizer : Normalizer
{
    // This is the meaning of the component, not a comparison.
#pragma warning disable CA1308
    public override string Apply(string text) => text.ToLowerInvariant();
#pragma warning restore CA1308
}
