using System.Text.Json;
using VllmNative.Tokenization.Models;

namespace VllmNative.Tokenization;

/// <summary>Reads vocabulary, added tokens and merges of tokenizer.json, and refuses what does not fit together.</summary>
internal static class VocabularyReader
{
    private const int MaxTokens = 1 << 22;

    public static Vocabulary Read(JsonItem root, IReadOnlyCollection<string> extraSpecial, out List<AddedToken> added)
    {
        Dictionary<string, int> ids = ReadModel(root["model"]["vocab"]);
        added = ReadAdded(root, ids);
        AddSpecial(extraSpecial, ids, added);
        RejectDuplicatesAndHoles(root["model"]["vocab"], ids);
        return new Vocabulary(ids, added);
    }

    public static MergeTable ReadMerges(JsonItem item, Vocabulary vocabulary)
    {
        if (item.Element.ValueKind != JsonValueKind.Array)
        {
            throw item.Error($"expected an array, found {item.Element.ValueKind}");
        }

        MergeTable table = new(item.Element.GetArrayLength());
        int rank = 0;
        foreach (JsonElement element in item.Element.EnumerateArray())
        {
            (string left, string right) = ReadPair(item, element, rank);
            table.Add(
                Known(item, vocabulary, left, rank), Known(item, vocabulary, right, rank),
                new Merge(rank, Known(item, vocabulary, left + right, rank)));
            rank++;
        }

        return table;
    }

    private static Dictionary<string, int> ReadModel(JsonItem item)
    {
        if (item.Element.ValueKind != JsonValueKind.Object)
        {
            throw item.Error($"expected an object, found {item.Element.ValueKind}");
        }

        Dictionary<string, int> ids = new(StringComparer.Ordinal);
        foreach (JsonProperty property in item.Element.EnumerateObject())
        {
            string token = property.Name;
            if (property.Value.ValueKind != JsonValueKind.Number || !property.Value.TryGetInt32(out int id))
            {
                throw item.Error($"token '{JsonItem.Shorten(token)}' has no 32-bit id");
            }

            AddToken(item, ids, token, id);
        }

        return ids;
    }

    private static void AddToken(JsonItem item, Dictionary<string, int> ids, string token, int id)
    {
        if (id is < 0 or >= MaxTokens)
        {
            throw item.Error($"token '{JsonItem.Shorten(token)}' has id {id}, the range is 0 to {MaxTokens - 1}");
        }

        if (token.Length > Vocabulary.MaxTokenLength)
        {
            throw item.Error($"token '{JsonItem.Shorten(token)}' has {token.Length} characters, the limit is {Vocabulary.MaxTokenLength}");
        }

        if (!ids.TryAdd(token, id))
        {
            throw item.Error($"token '{JsonItem.Shorten(token)}' is listed twice");
        }
    }

    private static List<AddedToken> ReadAdded(JsonItem root, Dictionary<string, int> ids)
    {
        List<AddedToken> added = [];
        if (root.Optional("added_tokens") is not { } list)
        {
            return added;
        }

        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (JsonItem item in list.Items())
        {
            string content = item["content"].Text;
            int id = item["id"].Int;
            if (content.Length == 0)
            {
                throw item.Error("an added token must not be empty");
            }

            if (!seen.Add(content))
            {
                throw item.Error($"added token '{JsonItem.Shorten(content)}' is listed twice");
            }

            if (!ids.TryGetValue(content, out int known))
            {
                AddToken(item, ids, content, id);
            }
            else if (known != id)
            {
                throw item.Error($"added token '{JsonItem.Shorten(content)}' has id {id}, the vocabulary says {known}");
            }

            bool special = item.Flag("special", false);
            added.Add(new AddedToken(
                id, content, special, item.Flag("normalized", !special), item.Flag("single_word", false),
                item.Flag("lstrip", false), item.Flag("rstrip", false)));
        }

        return added;
    }

    // A token that tokenizer_config.json names as bos, eos or pad is a control token even where tokenizer.json forgets to say so.
    private static void AddSpecial(IReadOnlyCollection<string> names, Dictionary<string, int> ids, List<AddedToken> added)
    {
        foreach (string name in names)
        {
            int at = added.FindIndex(token => token.Content == name);
            if (at >= 0)
            {
                added[at] = added[at] with { Special = true };
            }
            else if (name.Length > 0 && ids.TryGetValue(name, out int id))
            {
                added.Add(new AddedToken(id, name, Special: true, false, false, false, false));
            }
        }
    }

    private static void RejectDuplicatesAndHoles(JsonItem item, Dictionary<string, int> ids)
    {
        if (ids.Count == 0)
        {
            throw item.Error("the vocabulary is empty");
        }

        string?[] names = new string?[ids.Values.Max() + 1];
        foreach ((string token, int id) in ids)
        {
            if (names[id] is { } other)
            {
                throw item.Error($"id {id} belongs to '{JsonItem.Shorten(other)}' and to '{JsonItem.Shorten(token)}'");
            }

            names[id] = token;
        }

        int hole = Array.IndexOf(names, null);
        if (hole >= 0)
        {
            throw item.Error($"id {hole} has no token, though ids go up to {names.Length - 1}");
        }
    }

    private static (string Left, string Right) ReadPair(JsonItem item, JsonElement element, int rank)
    {
        if (element.ValueKind == JsonValueKind.Array && element.GetArrayLength() == 2
            && element[0].ValueKind == JsonValueKind.String && element[1].ValueKind == JsonValueKind.String)
        {
            return (element[0].GetString()!, element[1].GetString()!);
        }

        string text = element.ValueKind == JsonValueKind.String ? element.GetString()! : element.GetRawText();
        int space = text.IndexOf(' ');
        return element.ValueKind == JsonValueKind.String && space > 0 && space < text.Length - 1 && text.IndexOf(' ', space + 1) < 0
            ? (text[..space], text[(space + 1)..])
            : throw item.Error($"merge {rank} '{JsonItem.Shorten(text)}' is not a pair of tokens");
    }

    private static int Known(JsonItem item, Vocabulary vocabulary, string token, int rank) => vocabulary.Find(token)
        ?? throw item.Error($"merge {rank} refers to '{JsonItem.Shorten(token)}', which is not in the vocabulary");
}
