using System.Text;

namespace VllmNative.Tokenization.Normalizers;

/// <summary>Builds the normalizer that tokenizer.json describes; null when it changes nothing.</summary>
internal static class NormalizerReader
{
    public static Normalizer? Read(JsonItem? item) => item is { } component ? ReadComponent(component) : null;

    private static Normalizer? ReadComponent(JsonItem item) => item.Type switch
    {
        "NFC" => new UnicodeFormNormalizer(NormalizationForm.FormC),
        "NFD" => new UnicodeFormNormalizer(NormalizationForm.FormD),
        "NFKC" => new UnicodeFormNormalizer(NormalizationForm.FormKC),
        "NFKD" => new UnicodeFormNormalizer(NormalizationForm.FormKD),
        "Lowercase" => new LowercaseNormalizer(),
        "Strip" => new StripNormalizer(item.Flag("strip_left", true), item.Flag("strip_right", true)),
        "Prepend" => new PrependNormalizer(item["prepend"].Text),
        "Replace" => ReadReplace(item),
        "Sequence" => ReadSequence(item),
        var other => throw item.Error($"normalizer type '{JsonItem.Shorten(other)}' is not supported"),
    };

    private static ReplaceNormalizer ReadReplace(JsonItem item)
    {
        JsonItem pattern = item["pattern"];
        string literal = pattern.Optional("String")?.Text
            ?? throw pattern.Error("a Replace normalizer with a regular expression is not supported");
        return literal.Length > 0
            ? new ReplaceNormalizer(literal, item["content"].Text)
            : throw pattern.Error("must not be empty");
    }

    private static Normalizer? ReadSequence(JsonItem item)
    {
        Normalizer[] steps = [.. item["normalizers"].Items().Select(ReadComponent).OfType<Normalizer>()];
        return steps.Length switch
        {
            0 => null,
            1 => steps[0],
            _ => new SequenceNormalizer(steps),
        };
    }
}
