namespace VllmNative.Tokenization;

/// <summary>The special tokens that the post-processor puts around a text.</summary>
/// <param name="Prefix">Ids before the text.</param>
/// <param name="Suffix">Ids after the text.</param>
internal sealed record SpecialTokenTemplate(int[] Prefix, int[] Suffix)
{
    public static SpecialTokenTemplate Read(JsonItem? item, Vocabulary vocabulary)
    {
        List<int> prefix = [];
        List<int> suffix = [];
        if (item is { } component)
        {
            Add(component, vocabulary, prefix, suffix);
        }

        return new SpecialTokenTemplate([.. prefix], [.. suffix]);
    }

    /// <summary>Applies <c>add_bos_token</c> and <c>add_eos_token</c> where tokenizer_config.json states them.</summary>
    public SpecialTokenTemplate With(bool? addBos, int? bos, bool? addEos, int? eos)
    {
        int[] prefix = Prefix;
        int[] suffix = Suffix;
        if (addBos is { } wantBos && bos is { } bosId)
        {
            prefix = [.. wantBos ? [bosId] : Array.Empty<int>(), .. prefix.Where(id => id != bosId)];
        }

        if (addEos is { } wantEos && eos is { } eosId)
        {
            suffix = [.. suffix.Where(id => id != eosId), .. wantEos ? [eosId] : Array.Empty<int>()];
        }

        return new SpecialTokenTemplate(prefix, suffix);
    }

    private static void Add(JsonItem item, Vocabulary vocabulary, List<int> prefix, List<int> suffix)
    {
        switch (item.Type)
        {
            case "ByteLevel":
                break;
            case "Sequence":
                foreach (JsonItem child in item["processors"].Items())
                {
                    Add(child, vocabulary, prefix, suffix);
                }

                break;
            case "TemplateProcessing":
                AddTemplate(item, vocabulary, prefix, suffix);
                break;
            case "RobertaProcessing" or "BertProcessing":
                prefix.Insert(0, Checked(item["cls"], item["cls"].Items().Last().Int, vocabulary));
                suffix.Add(Checked(item["sep"], item["sep"].Items().Last().Int, vocabulary));
                break;
            case var other:
                throw item.Error($"post-processor type '{JsonItem.Shorten(other)}' is not supported");
        }
    }

    private static void AddTemplate(JsonItem item, Vocabulary vocabulary, List<int> prefix, List<int> suffix)
    {
        List<int> before = [];
        bool afterText = false;
        foreach (JsonItem piece in item["single"].Items())
        {
            if (piece.Optional("Sequence") is { } sequence)
            {
                if (afterText || sequence["id"].Text != "A")
                {
                    throw piece.Error("expected sequence A, once");
                }

                afterText = true;
                continue;
            }

            JsonItem ids = item["special_tokens"][piece["SpecialToken"]["id"].Text]["ids"];
            foreach (JsonItem id in ids.Items())
            {
                (afterText ? suffix : before).Add(Checked(id, id.Int, vocabulary));
            }
        }

        prefix.InsertRange(0, before);
    }

    private static int Checked(JsonItem item, int id, Vocabulary vocabulary) =>
        vocabulary.Name(id) is not null ? id : throw item.Error($"id {id} is not in the vocabulary of {vocabulary.Count}");
}
