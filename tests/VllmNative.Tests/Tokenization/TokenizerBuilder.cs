using System.Text.Json.Nodes;
using VllmNative.Tokenization;

namespace VllmNative.Tests.Tokenization;

/// <summary>Writes small tokenizer.json files, one change away from a good one.</summary>
internal static class TokenizerBuilder
{
    /// <summary>A byte-level vocabulary of a, b, c, ab, abc, space and the special token &lt;end&gt;.</summary>
    public static JsonObject Good() => JsonNode.Parse("""
        {
          "added_tokens": [{"id": 6, "content": "<end>", "special": true}],
          "normalizer": null,
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
          "post_processor": null,
          "decoder": {"type": "ByteLevel"},
          "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "Ġ": 5},
            "merges": ["a b", ["ab", "c"]]
          }
        }
        """)!.AsObject();

    public static Tokenizer Load(JsonObject json) => LoadText(json.ToJsonString());

    public static Tokenizer LoadText(string json)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, json);
            return Tokenizer.FromFile(path);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
