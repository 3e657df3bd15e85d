namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Builds the pre-tokenizers that tokenizer.json describes.</summary>
internal static class PreTokenizerReader
{
    /// <summary>Reads the component; <paramref name="byteLevel"/> says that the model works on bytes.</summary>
    public static PreTokenizer[] Read(JsonItem? item, out bool byteLevel)
    {
        List<PreTokenizer> list = [];
        byteLevel = false;
        if (item is { } component)
        {
            Read(component, list, ref byteLevel);
        }

        return [.. list];
    }

    private static void Read(JsonItem item, List<PreTokenizer> list, ref bool byteLevel)
    {
        if (byteLevel)
        {
            throw item.Error("a pre-tokenizer after ByteLevel is not supported");
        }

        switch (item.Type)
        {
            case "Sequence":
                foreach (JsonItem child in item["pretokenizers"].Items())
                {
                    Read(child, list, ref byteLevel);
                }

                break;
            case "ByteLevel":
                byteLevel = true;
                if (item.Flag("add_prefix_space", true))
                {
                    list.Add(new PrefixSpacePreTokenizer());
                }

                if (item.Flag("use_regex", true))
                {
                    list.Add(new SplitPreTokenizer(WordPatternScanner.Gpt2, SplitBehavior.Isolated, invert: false));
                }

                break;
            case "Split":
                list.Add(new SplitPreTokenizer(ReadPattern(item["pattern"]), ReadBehavior(item["behavior"]), item.Flag("invert", false)));
                break;
            case "Digits":
                list.Add(new SplitPreTokenizer(
                    new ClassRunScanner(UnicodeClass.Number, item.Flag("individual_digits", false) ? 1 : int.MaxValue),
                    SplitBehavior.Isolated, invert: false));
                break;
            case "WhitespaceSplit":
                list.Add(new SplitPreTokenizer(new ClassRunScanner(UnicodeClass.Space, 1), SplitBehavior.Removed, invert: false));
                break;
            case "Punctuation":
                list.Add(new SplitPreTokenizer(
                    new ClassRunScanner(UnicodeClass.Punctuation, 1),
                    item.Optional("behavior") is { } behavior ? ReadBehavior(behavior) : SplitBehavior.Isolated, invert: false));
                break;
            case "Metaspace":
                list.Add(ReadMetaspace(item));
                break;
            case var other:
                throw item.Error($"pre-tokenizer type '{JsonItem.Shorten(other)}' is not supported");
        }
    }

    private static SplitScanner ReadPattern(JsonItem item)
    {
        if (item.Optional("String") is { } literal)
        {
            return literal.Text.Length > 0 ? new LiteralScanner(literal.Text) : throw literal.Error("must not be empty");
        }

        string pattern = item["Regex"].Text;
        return SplitPatterns.Find(pattern, out string? error)
            ?? throw item.Error($"split pattern '{JsonItem.Shorten(pattern)}' is not supported: {error}");
    }

    private static SplitBehavior ReadBehavior(JsonItem item) => item.Text switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        var other => throw item.Error($"split behavior '{JsonItem.Shorten(other)}' is not supported"),
    };

    private static MetaspacePreTokenizer ReadMetaspace(JsonItem item)
    {
        JsonItem replacement = item["replacement"];
        if (replacement.Text.Length != 1)
        {
            throw replacement.Error($"expected one character, found '{JsonItem.Shorten(replacement.Text)}'");
        }

        // Files older than prepend_scheme say the same with add_prefix_space.
        MetaspacePrepend prepend = item.Optional("prepend_scheme") is { } scheme
            ? scheme.Text switch
            {
                "always" => MetaspacePrepend.Always,
                "never" => MetaspacePrepend.Never,
                "first" => MetaspacePrepend.First,
                var other => throw scheme.Error($"prepend scheme '{JsonItem.Shorten(other)}' is not supported"),
            }
            : item.Flag("add_prefix_space", true) ? MetaspacePrepend.Always : MetaspacePrepend.Never;
        return new MetaspacePreTokenizer(replacement.Text[0], prepend, item.Flag("split", true));
    }
}
