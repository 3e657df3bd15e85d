using System.Text.Json;
using VllmNative.Tokenization.Decoders;
using VllmNative.Tokenization.Models;
using VllmNative.Tokenization.Normalizers;
using VllmNative.Tokenization.PreTokenizers;

namespace VllmNative.Tokenization;

/// <summary>Puts the parts that tokenizer.json describes together.</summary>
internal static class TokenizerReader
{
    public static TokenizerParts Read(string path, TokenizerConfig config)
    {
        using JsonDocument document = JsonFile.Read(path);
        JsonItem root = new(path, "", document.RootElement);
        JsonItem model = root["model"];
        string type = model.Optional("type")?.Text ?? "BPE";
        if (type != "BPE")
        {
            throw model.Error($"model type '{JsonItem.Shorten(type)}' is not supported, only BPE is");
        }

        Vocabulary vocabulary = VocabularyReader.Read(root, config.SpecialTokens, out List<AddedToken> added);
        Normalizer? normalizer = NormalizerReader.Read(root.Optional("normalizer"));
        PreTokenizer[] preTokenizers = PreTokenizerReader.Read(root.Optional("pre_tokenizer"), out bool byteLevel);
        return new TokenizerParts(
            vocabulary,
            added,
            normalizer,
            preTokenizers,
            ReadModel(model, vocabulary, byteLevel),
            SpecialTokenTemplate.Read(root.Optional("post_processor"), vocabulary),
            new TokenDecoder(vocabulary, DecoderSteps.Read(root.Optional("decoder"))));
    }

    private static BpeModel ReadModel(JsonItem model, Vocabulary vocabulary, bool byteLevel)
    {
        if (model.Optional("dropout") is { } dropout && dropout.Element.ValueKind == JsonValueKind.Number && dropout.Element.GetDouble() != 0)
        {
            throw dropout.Error($"dropout {dropout.Element.GetRawText()} is not supported: encoding would be random");
        }

        foreach (string affix in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model.Optional(affix) is { } value && value.Text.Length > 0)
            {
                throw value.Error($"'{JsonItem.Shorten(value.Text)}' is not supported, only the empty string is");
            }
        }

        int unknown = -1;
        if (model.Optional("unk_token") is { } token)
        {
            unknown = vocabulary.Find(token.Text)
                ?? throw token.Error($"token '{JsonItem.Shorten(token.Text)}' is not in the vocabulary");
        }

        BpeOptions options = new(
            byteLevel, model.Flag("byte_fallback", false), model.Flag("ignore_merges", false), model.Flag("fuse_unk", false), unknown);
        return new BpeModel(vocabulary, VocabularyReader.ReadMerges(model["merges"], vocabulary), options);
    }
}
