using System.Text;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Model directories that are not what they should be: a typed error names file, value and what was expected.</summary>
public sealed class BadModelTests
{
    private static readonly string Source = TestAssets.Path("models", "tiny", "llama");

    [Theory]
    [InlineData("LlamaForCausalLM", "FooForCausalLM", "config.json: architectures: found FooForCausalLM, supported are LlamaForCausalLM")]
    [InlineData("\"vocab_size\": 1536", "\"vocab_size\": 1500", "model.embed_tokens.weight: has shape [1536, 128], expected [1500, 128]")]
    [InlineData("\"intermediate_size\": 256", "\"intermediate_size\": 128", "[256, 128], expected [128, 128]")]
    [InlineData("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "model.layers.3.")]
    [InlineData("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "model.layers.2.")]
    [InlineData("\"silu\"", "\"relu\"", "config.json: hidden_act: is \"relu\", supported are silu")]
    [InlineData("{", "", "config.json")]
    public void A_config_that_does_not_fit_is_refused(string old, string changed, string expected)
    {
        using TempDirectory directory = CopyOf(config => ReplaceFirst(config, old, changed), null);
        var error = Assert.Throws<ModelFormatException>(() => Create(directory.Path));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"model.norm.weight\"", "\"model.narm.weight\"", "model.norm.weight")]
    [InlineData("\"lm_head.weight\"", "\"lm_hood.weight\"", "lm_head.weight")]
    [InlineData("\"dtype\":\"BF16\"", "\"dtype\":\"U16\" ", "has dtype U16, expected F32, F16 or BF16")]
    public void Weights_that_do_not_fit_are_refused(string old, string changed, string expected)
    {
        using TempDirectory directory = CopyOf(config => config, bytes => ReplaceInHeader(bytes, old, changed));
        var error = Assert.Throws<ModelFormatException>(() => Create(directory.Path));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_element_type_that_nothing_computes_is_refused()
    {
        using TempDirectory directory = CopyOf(config => config.Replace("\"bfloat16\"", "\"float64\"", StringComparison.Ordinal), null);
        var error = Assert.Throws<ModelFormatException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { Model = directory.Path, Dtype = ModelDtype.Auto }));
        Assert.Contains("\"float64\", supported are float32, float16, bfloat16", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_model_directory_is_named()
    {
        using var empty = new TempDirectory();
        Assert.Contains("has no config.json", Assert.Throws<ModelFormatException>(() => Create(empty.Path)).Message, StringComparison.Ordinal);
        string file = Path.Combine(Source, "config.json");
        Assert.Contains($"{file}: is a file", Assert.Throws<ModelFormatException>(() => Create(file)).Message, StringComparison.Ordinal);
        string missing = Path.Combine(empty.Path, "nowhere");
        Assert.Contains($"{missing}: no such model directory", Assert.Throws<ModelFormatException>(() => Create(missing)).Message, StringComparison.Ordinal);
        empty.Write("config.json", File.ReadAllText(file));
        Assert.Contains(empty.Path, Assert.Throws<ModelFormatException>(() => Create(empty.Path)).Message, StringComparison.Ordinal);
    }

    private static void Create(string model) => AsyncLlmEngine.Create(TestEngines.Tiny with { Model = model }).Dispose();

    private static TempDirectory CopyOf(Func<string, string> config, Func<byte[], byte[]>? weights)
    {
        var directory = new TempDirectory();
        directory.Write("config.json", config(File.ReadAllText(Path.Combine(Source, "config.json"))));
        byte[] bytes = File.ReadAllBytes(Path.Combine(Source, "model.safetensors"));
        directory.Write("model.safetensors", weights is null ? bytes : weights(bytes));
        return directory;
    }

    private static string ReplaceFirst(string text, string old, string changed)
    {
        int at = text.IndexOf(old, StringComparison.Ordinal);
        Assert.True(at >= 0, $"no {old}");
        return text[..at] + changed + text[(at + old.Length)..];
    }

    // Of the same length, so that offsets stay right.
    private static byte[] ReplaceInHeader(byte[] file, string old, string changed)
    {
        Assert.Equal(old.Length, changed.Length);
        int at = file.AsSpan().IndexOf(Encoding.UTF8.GetBytes(old));
        Assert.True(at >= 0, $"no {old}");
        Encoding.UTF8.GetBytes(changed).CopyTo(file, at);
        return file;
    }
}
