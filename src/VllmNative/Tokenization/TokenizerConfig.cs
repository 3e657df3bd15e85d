using System.Text;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization;

/// <summary>What tokenizer_config.json and chat_template.jinja add to tokenizer.json.</summary>
internal sealed record TokenizerConfig
{
    public string? BosToken { get; private init; }

    public string? EosToken { get; private init; }

    public string? PadToken { get; private init; }

    public string? UnknownToken { get; private init; }

    public bool? AddBosToken { get; private init; }

    public bool? AddEosToken { get; private init; }

    public string? ChatTemplate { get; private init; }

    /// <summary>The tokens that are control tokens by their role.</summary>
    public string[] SpecialTokens => [.. new[] { BosToken, EosToken, PadToken }.OfType<string>().Distinct()];

    /// <summary>Reads the files that are there; a directory with neither gives an empty configuration.</summary>
    public static TokenizerConfig Read(string directory)
    {
        string path = Path.Combine(directory, "tokenizer_config.json");
        TokenizerConfig config = File.Exists(path) ? ReadConfig(path) : new TokenizerConfig();

        // The file of its own is the newer convention, and wins.
        string template = Path.Combine(directory, "chat_template.jinja");
        return File.Exists(template) ? config with { ChatTemplate = ReadText(template) } : config;
    }

    private static TokenizerConfig ReadConfig(string path)
    {
        using JsonDocument document = JsonFile.Read(path);
        JsonItem root = new(path, "", document.RootElement);
        return new TokenizerConfig
        {
            BosToken = ReadToken(root, "bos_token"),
            EosToken = ReadToken(root, "eos_token"),
            PadToken = ReadToken(root, "pad_token"),
            UnknownToken = ReadToken(root, "unk_token"),
            AddBosToken = root.Optional("add_bos_token") is null ? null : root.Flag("add_bos_token", false),
            AddEosToken = root.Optional("add_eos_token") is null ? null : root.Flag("add_eos_token", false),
            ChatTemplate = ReadTemplate(root),
        };
    }

    private static string? ReadToken(JsonItem root, string name) => root.Optional(name) switch
    {
        null => null,
        { Element.ValueKind: JsonValueKind.Object } item => item["content"].Text,
        { } item => item.Text,
    };

    private static string? ReadTemplate(JsonItem root)
    {
        if (root.Optional("chat_template") is not { } item)
        {
            return null;
        }

        if (item.Element.ValueKind != JsonValueKind.Array)
        {
            return item.Text;
        }

        foreach (JsonItem entry in item.Items())
        {
            if (entry["name"].Text == "default")
            {
                return entry["template"].Text;
            }
        }

        throw item.Error("none of the templates is named 'default'");
    }

    private static string ReadText(string path)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(JsonFile.ReadBytes(path));
        }
        catch (ArgumentException e)
        {
            throw new ModelFormatException(path, null, "is not valid UTF-8", e);
        }
    }
}
