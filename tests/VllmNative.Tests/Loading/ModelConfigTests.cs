using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

public sealed class ModelConfigTests
{
    [Fact]
    public void Absent_keys_have_the_defaults_of_transformers()
    {
        ModelConfig config = Parse("{}");
        Assert.Empty(config.Architectures);
        Assert.Equal(8, config.NumKeyValueHeads);
        Assert.Equal(16, config.HeadDim);
        Assert.Equal(1e-6, config.RmsNormEps);
        Assert.Equal("silu", config.HiddenAct);
        Assert.Equal("auto", config.Dtype);
        Assert.False(config.AttentionBias);
        Assert.False(config.MlpBias);
        Assert.Null(config.BosTokenId);
        Assert.Empty(config.EosTokenIds);
        Assert.Null(config.QuantizationConfig);
        Assert.Equal(new RopeConfig(), config.Rope);
        Assert.Null(config.SlidingWindowOf(0));
    }

    [Theory]
    [InlineData("llama", false)]
    [InlineData("mistral", false)]
    [InlineData("qwen2", false)]
    [InlineData("qwen3", false)]
    [InlineData("gemma2", true)]
    [InlineData("gpt2", true)]
    public void Embeddings_are_tied_by_default_as_the_family_has_it(string modelType, bool tied)
    {
        Assert.Equal(tied, Parse($$"""{"model_type":"{{modelType}}"}""").TieWordEmbeddings);
        Assert.True(Parse($$"""{"model_type":"{{modelType}}","tie_word_embeddings":true}""").TieWordEmbeddings);
        Assert.False(Parse($$"""{"model_type":"{{modelType}}","tie_word_embeddings":false}""").TieWordEmbeddings);
    }

    [Theory]
    [InlineData("""{"torch_dtype":"float16"}""", "float16")]
    [InlineData("""{"dtype":"bfloat16","torch_dtype":"float16"}""", "bfloat16")]
    [InlineData("""{"dtype":null,"torch_dtype":"float16"}""", "float16")]
    [InlineData("""{"torch_dtype":"torch.float32"}""", "float32")]
    [InlineData("""{"dtype":"auto"}""", "auto")]
    public void Dtype_is_read_in_both_spellings(string changes, string dtype) => Assert.Equal(dtype, Parse(changes).Dtype);

    [Fact]
    public void Token_ids_are_one_or_many()
    {
        ModelConfig config = Parse("""{"bos_token_id":1,"eos_token_id":[2,3]}""");
        Assert.Equal(1, config.BosTokenId);
        Assert.Equal([2, 3], config.EosTokenIds);
    }

    [Fact]
    public void Unknown_keys_and_quantization_stay_readable()
    {
        ModelConfig config = Parse("""{"quantization_config":{"quant_method":"awq"},"logits_scaling":4}""");
        Assert.Equal("awq", config.QuantizationConfig!.Value.GetProperty("quant_method").GetString());
        Assert.Equal(4, config.Raw.GetProperty("logits_scaling").GetInt32());
    }

    [Fact]
    public void Null_counts_as_absent()
    {
        ModelConfig config = Parse("""{"head_dim":null,"num_key_value_heads":null,"rope_scaling":null,"rope_parameters":null,"quantization_config":null,"architectures":null}""");
        Assert.Equal(16, config.HeadDim);
        Assert.Equal(8, config.NumKeyValueHeads);
        Assert.Null(config.QuantizationConfig);
    }

    [Fact]
    public void Gpt2_and_opt_spellings_are_read()
    {
        ModelConfig config = ModelConfig.Parse("""{"model_type":"gpt2","n_embd":64,"n_layer":2,"n_head":4,"n_positions":32,"n_inner":null,"vocab_size":10,"layer_norm_epsilon":0.001,"activation_function":"gelu_new"}""", "x");
        Assert.Equal((64, 2, 4, 32, 256), (config.HiddenSize, config.NumHiddenLayers, config.NumAttentionHeads, config.MaxPositionEmbeddings, config.IntermediateSize));
        Assert.Equal((0.001, "gelu_new"), (config.RmsNormEps, config.HiddenAct));
    }

    [Theory]
    [InlineData("mistral", "{}", "4096 4096 4096 4096")]
    [InlineData("mistral", """{"sliding_window":null}""", "- - - -")]
    [InlineData("mistral", """{"sliding_window":7}""", "7 7 7 7")]
    [InlineData("mistral", """{"sliding_window":7,"layer_types":["full_attention","sliding_attention","full_attention","sliding_attention"]}""", "- 7 - 7")]
    [InlineData("llama", """{"sliding_window":7}""", "- - - -")]
    [InlineData("qwen2", """{"sliding_window":7,"max_window_layers":1}""", "- - - -")]
    [InlineData("qwen2", """{"sliding_window":7,"max_window_layers":1,"use_sliding_window":false}""", "- - - -")]
    [InlineData("qwen2", """{"sliding_window":7,"max_window_layers":1,"use_sliding_window":true}""", "- 7 7 7")]
    [InlineData("qwen2", """{"sliding_window":7,"use_sliding_window":true}""", "- - - -")]
    [InlineData("qwen3", """{"sliding_window":7,"max_window_layers":3,"use_sliding_window":true}""", "- - - 7")]
    [InlineData("qwen3", """{"sliding_window":7,"use_sliding_window":true,"layer_types":["sliding_attention","full_attention","full_attention","full_attention"]}""", "7 - - -")]
    [InlineData("qwen3", """{"sliding_window":null,"use_sliding_window":true,"max_window_layers":0}""", "- - - -")]
    [InlineData("gemma2", """{"sliding_window":7}""", "7 - 7 -")]
    [InlineData("gemma3_text", """{"sliding_window":7,"sliding_window_pattern":2}""", "7 - 7 -")]
    public void Each_layer_has_its_window(string modelType, string changes, string windows)
    {
        JsonObject json = Merge(changes);
        json["model_type"] = modelType;
        ModelConfig config = ModelConfig.Parse(json.ToJsonString(), "x");
        Assert.Equal(windows, string.Join(' ', Enumerable.Range(0, 4).Select(layer => config.SlidingWindowOf(layer)?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "-")));
    }

    [Fact]
    public void A_layer_that_does_not_exist_has_no_window()
    {
        ModelConfig config = Parse("{}");
        Assert.Throws<ArgumentOutOfRangeException>(() => config.SlidingWindowOf(4));
        Assert.Throws<ArgumentOutOfRangeException>(() => config.SlidingWindowOf(-1));
    }

    [Theory]
    [InlineData("model_type")]
    [InlineData("hidden_size")]
    [InlineData("intermediate_size")]
    [InlineData("num_hidden_layers")]
    [InlineData("num_attention_heads")]
    [InlineData("vocab_size")]
    [InlineData("max_position_embeddings")]
    public void A_required_key_that_is_missing_is_named(string key)
    {
        JsonObject json = Merge("{}");
        json.Remove(key);
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfig.Parse(json.ToJsonString(), "x"));
        Assert.Equal(("x", key, "is missing"), (error.File, error.Item, error.Cause));
    }

    [Theory]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "-128")]
    [InlineData("hidden_size", "1048577")]
    [InlineData("hidden_size", "99999999999999999999")]
    [InlineData("hidden_size", "\"128\"")]
    [InlineData("hidden_size", "128.5")]
    [InlineData("hidden_size", "[128]")]
    [InlineData("hidden_size", "true")]
    [InlineData("intermediate_size", "0")]
    [InlineData("intermediate_size", "4194305")]
    [InlineData("num_hidden_layers", "0")]
    [InlineData("num_hidden_layers", "2147483647")]
    [InlineData("num_attention_heads", "0")]
    [InlineData("num_attention_heads", "4097")]
    [InlineData("num_key_value_heads", "0")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("num_key_value_heads", "16")]
    [InlineData("head_dim", "0")]
    [InlineData("head_dim", "1")]
    [InlineData("head_dim", "63")]
    [InlineData("head_dim", "1026")]
    [InlineData("vocab_size", "0")]
    [InlineData("vocab_size", "-1")]
    [InlineData("vocab_size", "16777217")]
    [InlineData("max_position_embeddings", "0")]
    [InlineData("max_position_embeddings", "134217729")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("rms_norm_eps", "-1e-6")]
    [InlineData("rms_norm_eps", "1e999")]
    [InlineData("rms_norm_eps", "\"1e-6\"")]
    [InlineData("hidden_act", "1")]
    [InlineData("model_type", "1")]
    [InlineData("architectures", "\"LlamaForCausalLM\"")]
    [InlineData("architectures", "[1]")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("attention_bias", "\"false\"")]
    [InlineData("mlp_bias", "0")]
    [InlineData("dtype", "16")]
    [InlineData("bos_token_id", "-1")]
    [InlineData("bos_token_id", "1000")]
    [InlineData("eos_token_id", "1000")]
    [InlineData("eos_token_id", "[1,1000]")]
    [InlineData("eos_token_id", "[null]")]
    [InlineData("eos_token_id", "\"</s>\"")]
    [InlineData("sliding_window", "0")]
    [InlineData("sliding_window", "-5")]
    [InlineData("use_sliding_window", "\"no\"")]
    [InlineData("layer_types", "[\"full_attention\"]")]
    [InlineData("layer_types", "[\"full_attention\",\"full_attention\",\"full_attention\",\"linear_attention\"]")]
    [InlineData("layer_types", "[\"full_attention\",\"full_attention\",\"full_attention\",\"sliding_attention\"]")]
    [InlineData("layer_types", "7")]
    [InlineData("quantization_config", "\"awq\"")]
    [InlineData("rope_scaling", "\"linear\"")]
    [InlineData("rope_parameters", "[]")]
    [InlineData("rope_theta", "0")]
    [InlineData("rope_theta", "1")]
    [InlineData("rope_theta", "-10000")]
    [InlineData("rope_theta", "1e999")]
    [InlineData("rope_theta", "\"10000\"")]
    [InlineData("partial_rotary_factor", "0")]
    [InlineData("partial_rotary_factor", "1.5")]
    public void A_value_out_of_range_is_named_with_its_key(string key, string value)
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => Parse($"{{\"{key}\":{value}}}"));
        Assert.Equal(("x", key), (error.File, error.Item));
        string shown = value.Trim('[', ']', '"').Split(',')[^1].Trim('"');
        Assert.True(key == "layer_types" || error.Cause.Contains(shown, StringComparison.Ordinal), error.Message);
    }

    [Fact]
    public void Heads_that_do_not_divide_the_width_need_a_head_dim()
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => Parse("""{"hidden_size":100}"""));
        Assert.Equal("head_dim", error.Item);
        Assert.Contains("100", error.Cause, StringComparison.Ordinal);
        Assert.Equal(32, Parse("""{"hidden_size":100,"head_dim":32}""").HeadDim);
    }

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{} {}", "not valid JSON")]
    [InlineData("{\"a\":1,\"a\":2}", "not valid JSON")]
    [InlineData("{\"a\":NaN}", "not valid JSON")]
    [InlineData("[]", "expected a JSON object, found Array")]
    [InlineData("null", "expected a JSON object, found Null")]
    [InlineData("{\"model_type\":\"\\ud800\"}", "not valid Unicode")]
    public void Text_that_is_no_object_is_rejected(string json, string cause)
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfig.Parse(json, "x"));
        Assert.Contains(cause, error.Cause, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_rejected()
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfig.Parse(new byte[] { (byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)'}' }, "x"));
        Assert.Contains("UTF-8", error.Cause, StringComparison.Ordinal);
    }

    [Fact]
    public void Nesting_beyond_the_cap_is_rejected()
    {
        Assert.Equal(64, JsonFile.MaxDepth);
        Parse("{\"x\":" + new string('[', 63) + new string(']', 63) + "}");
        Assert.Throws<ModelFormatException>(() => ModelConfig.Parse("{\"x\":" + new string('[', 64) + new string(']', 64) + "}", "x"));
        Assert.Throws<ModelFormatException>(() => ModelConfig.Parse("{\"x\":" + new string('[', 1_000_000), "x"));
    }

    [Fact]
    public void A_file_beyond_the_cap_is_rejected()
    {
        using TempDirectory temp = new();
        temp.Write("config.json", Merge("{}").ToJsonString() + new string(' ', 4 << 20));
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfig.Load(temp.Path));
        Assert.Contains("above the limit of 4194304", error.Cause, StringComparison.Ordinal);
        Assert.Throws<ModelFormatException>(() => ModelConfig.Parse(new byte[(4 << 20) + 1], "x"));
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        using TempDirectory temp = new();
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfig.Load(temp.Path));
        Assert.Equal(Path.Combine(temp.Path, "config.json"), error.File);
    }

    /// <summary>A small valid config with some keys changed.</summary>
    internal static ModelConfig Parse(string changes)
    {
        // Values such as 1e999 must reach the parser as they are written.
        string rest = string.Concat(Merge("{}").Where(pair => !HasKey(changes, pair.Key)).Select(pair => $",\"{pair.Key}\":{pair.Value!.ToJsonString()}"));
        string inner = changes.Trim()[1..^1];
        return ModelConfig.Parse(Encoding.UTF8.GetBytes(inner.Length == 0 ? "{" + rest[1..] + "}" : "{" + inner + rest + "}"), "x");
    }

    private static bool HasKey(string json, string key)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.TryGetProperty(key, out _);
    }

    private static JsonObject Merge(string changes)
    {
        JsonObject json = JsonNode.Parse("""{"model_type":"llama","hidden_size":128,"intermediate_size":256,"num_hidden_layers":4,"num_attention_heads":8,"vocab_size":1000,"max_position_embeddings":512}""")!.AsObject();
        foreach ((string key, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
        {
            json[key] = value?.DeepClone();
        }

        return json;
    }
}
