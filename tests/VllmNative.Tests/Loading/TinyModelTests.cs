using System.Text.Json;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>The committed models load: weights fit the config, and both key styles of config.json read alike.</summary>
public sealed class TinyModelTests
{
    public static TheoryData<string> Names => ["llama", "llama3-rope", "llama-linear-rope", "llama-yarn", "mistral-sliding", "qwen2", "qwen3"];

    [Fact]
    public void The_models_cover_both_key_styles()
    {
        bool[] newStyle = [.. Names.Select(row => ModelConfig.Load(Directory(row.Data)).Raw.TryGetProperty("rope_parameters", out _))];
        Assert.Contains(true, newStyle);
        Assert.Contains(false, newStyle);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Config_holds_the_shared_values(string name)
    {
        ModelConfig config = ModelConfig.Load(Directory(name));
        JsonElement raw = config.Raw;
        Assert.Equal([raw.GetProperty("architectures")[0].GetString()!], config.Architectures);
        Assert.Equal(raw.GetProperty("model_type").GetString(), config.ModelType);
        Assert.Equal(128, config.HiddenSize);
        Assert.Equal(256, config.IntermediateSize);
        Assert.Equal(raw.GetProperty("num_hidden_layers").GetInt32(), config.NumHiddenLayers);
        Assert.Equal(4, config.NumAttentionHeads);
        Assert.Equal(2, config.NumKeyValueHeads);
        Assert.Equal(name == "qwen2" ? 32 : 64, config.HeadDim);
        Assert.Equal(1536, config.VocabSize);
        Assert.Equal(name == "llama3-rope" ? 1024 : 512, config.MaxPositionEmbeddings);
        Assert.Equal(1e-6, config.RmsNormEps);
        Assert.Equal("silu", config.HiddenAct);
        Assert.Equal("bfloat16", config.Dtype);
        Assert.False(config.TieWordEmbeddings);
        Assert.False(config.AttentionBias);
        Assert.False(config.MlpBias);
        Assert.Null(config.BosTokenId);
        Assert.Equal([2], config.EosTokenIds);
        Assert.Null(config.QuantizationConfig);
        Assert.Equal(name == "llama3-rope" ? 500_000 : 10_000, config.Rope.Theta);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            Assert.Equal(name == "mistral-sliding" ? 16 : null, config.SlidingWindowOf(layer));
            Assert.Same(config.Rope, config.RopeOf(layer));
        }
    }

    [Theory]
    [InlineData("llama", RopeType.Default, 1)]
    [InlineData("llama3-rope", RopeType.Llama3, 8)]
    [InlineData("llama-linear-rope", RopeType.Linear, 4)]
    [InlineData("llama-yarn", RopeType.Yarn, 4)]
    [InlineData("qwen2", RopeType.Default, 1)]
    [InlineData("qwen3", RopeType.Default, 1)]
    public void Rope_type_and_factor_are_read_from_either_style(string name, RopeType type, double factor)
    {
        RopeConfig rope = ModelConfig.Load(Directory(name)).Rope;
        Assert.Equal(type, rope.Type);
        Assert.Equal(factor, rope.Factor);
        Assert.Equal(name switch { "llama3-rope" => 64, "llama-yarn" => 32, _ => null }, rope.OriginalMaxPositionEmbeddings);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Weights_have_the_shapes_that_the_config_implies(string name)
    {
        ModelConfig config = ModelConfig.Load(Directory(name));
        using WeightMap weights = WeightMap.Open(Directory(name));
        int query = config.NumAttentionHeads * config.HeadDim;
        int keyValue = config.NumKeyValueHeads * config.HeadDim;
        AssertShape(weights, "model.embed_tokens.weight", config.VocabSize, config.HiddenSize);
        AssertShape(weights, "lm_head.weight", config.VocabSize, config.HiddenSize);
        AssertShape(weights, "model.norm.weight", config.HiddenSize);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            AssertShape(weights, prefix + "self_attn.q_proj.weight", query, config.HiddenSize);
            AssertShape(weights, prefix + "self_attn.k_proj.weight", keyValue, config.HiddenSize);
            AssertShape(weights, prefix + "self_attn.o_proj.weight", config.HiddenSize, query);
            AssertShape(weights, prefix + "mlp.down_proj.weight", config.HiddenSize, config.IntermediateSize);
        }

        Assert.Equal(weights.TotalBytes, weights.Names.Sum(tensor => weights.Get(tensor).ByteLength));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Golden_files_open(string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(Directory(name), "golden.safetensors"));
        Assert.True(file.TryGet("logits", out TensorView logits));
        Assert.Equal([40L, 1536L], logits.Shape);
        Assert.Equal(SafetensorsDtype.F32, logits.Dtype);
        Assert.True(file.TryGet("input_ids", out _));
        Assert.True(file.TryGet("greedy_ids", out _));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Generation_config_is_read(string name)
    {
        GenerationConfig generation = GenerationConfig.Load(Directory(name));
        Assert.Equal([2], generation.EosTokenIds);
        Assert.Equal(0, generation.PadTokenId);
        Assert.Null(generation.Temperature);
    }

    private static void AssertShape(WeightMap weights, string name, params long[] shape)
    {
        TensorView tensor = weights.Get(name);
        Assert.Equal(shape, tensor.Shape);
        Assert.Equal(SafetensorsDtype.BF16, tensor.Dtype);
    }

    private static string Directory(string name) => TestAssets.Path("models", "tiny", name);
}
