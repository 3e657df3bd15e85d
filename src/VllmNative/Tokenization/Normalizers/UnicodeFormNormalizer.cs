using System.Text;

namespace VllmNative.Tokenization.Normalizers;

/// <summary>NFC, NFD, NFKC or NFKD.</summary>
internal sealed class UnicodeFormNormalizer(NormalizationForm form) : Normalizer
{
    public override string Apply(string text) =>
        Ascii.IsValid(text) || text.IsNormalized(form) ? text : text.Normalize(form);
}
