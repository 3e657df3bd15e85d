using System.Text.Json;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

/// <summary>
/// Third-party tokenizers, which are not part of the repository. VLLM_NATIVE_TEST_TOKENIZERS names a directory with
/// NAME/tokenizer.json, goldens/NAME.json (text, ids, ids_special, decoded) and chat_templates/NAME.json.
/// </summary>
internal static class RealTokenizers
{
    private const string Variable = "VLLM_NATIVE_TEST_TOKENIZERS";

    public static (Tokenizer Tokenizer, JsonElement[] Rows) Load(string name) => (
        Tokenizer.FromFile(Existing(name, "tokenizer.json")),
        [.. ReadJson(Existing("goldens", name + ".json")).EnumerateArray()]);

    public static JsonElement ChatTemplates(string name) => ReadJson(Existing("chat_templates", name + ".json"));

    private static string Existing(params string[] parts)
    {
        string? root = Environment.GetEnvironmentVariable(Variable);
        if (string.IsNullOrEmpty(root))
        {
            Assert.Skip($"{Variable} is not set: it names a directory of third-party tokenizers");
        }

        string path = Path.Combine([root, .. parts]);
        if (!File.Exists(path))
        {
            Assert.Skip($"{path} does not exist");
        }

        return path;
    }

    private static JsonElement ReadJson(string path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
        return document.RootElement.Clone();
    }
}
