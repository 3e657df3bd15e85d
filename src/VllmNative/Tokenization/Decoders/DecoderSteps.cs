namespace VllmNative.Tokenization.Decoders;

/// <summary>What the decoder chain of tokenizer.json amounts to.</summary>
internal sealed class DecoderSteps
{
    public bool ByteLevel { get; private set; }

    public bool ByteFallback { get; private set; }

    public int LeadingStrip { get; private set; }

    public byte LeadingStripByte { get; private set; } = (byte)' ';

    public List<(string Pattern, string Content)> Replacements { get; } = [];

    public static DecoderSteps Read(JsonItem? item)
    {
        DecoderSteps steps = new();
        if (item is { } component)
        {
            steps.Add(component);
        }

        return steps;
    }

    private void Add(JsonItem item)
    {
        switch (item.Type)
        {
            case "Sequence":
                foreach (JsonItem child in item["decoders"].Items())
                {
                    Add(child);
                }

                break;
            case "ByteLevel":
                ByteLevel = true;
                break;
            case "ByteFallback":
                ByteFallback = true;
                break;
            case "Fuse":
                break;
            case "Replace":
                JsonItem pattern = item["pattern"];
                Replacements.Add((
                    pattern.Optional("String")?.Text is { Length: > 0 } literal
                        ? literal
                        : throw pattern.Error("a Replace decoder needs a string that is not empty"),
                    item["content"].Text));
                break;
            case "Strip":
                AddStrip(item);
                break;
            case "Metaspace":
                Replacements.Add((item["replacement"].Text, " "));
                bool prepended = item.Optional("prepend_scheme")?.Text is { } scheme
                    ? scheme != "never"
                    : item.Flag("add_prefix_space", true);
                LeadingStrip = prepended ? 1 : 0;
                break;
            case var other:
                throw item.Error($"decoder type '{JsonItem.Shorten(other)}' is not supported");
        }
    }

    private void AddStrip(JsonItem item)
    {
        if (item["stop"].Int != 0)
        {
            throw item["stop"].Error($"a Strip decoder that removes characters at the end ({item["stop"].Int}) is not supported");
        }

        string content = item["content"].Text;
        if (content.Length != 1 || !char.IsAscii(content[0]))
        {
            throw item["content"].Error($"expected one ASCII character, found '{JsonItem.Shorten(content)}'");
        }

        LeadingStrip = Math.Max(0, item["start"].Int);
        LeadingStripByte = (byte)content[0];
    }
}
