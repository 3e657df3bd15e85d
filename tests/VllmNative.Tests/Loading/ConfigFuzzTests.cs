using System.Text;
using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Models;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>Mutated JSON files of a model directory: a typed error or values that later code can trust.</summary>
public sealed class ConfigFuzzTests
{
    private static readonly byte[][] Configs =
    [
        .. TinyModelTests.Names.Select(row => File.ReadAllBytes(TestAssets.Path("models", "tiny", row.Data, "config.json"))),
        Encoding.UTF8.GetBytes("""{"model_type":"qwen2","hidden_size":64,"intermediate_size":64,"num_hidden_layers":4,"num_attention_heads":2,"vocab_size":10,"max_position_embeddings":64,"sliding_window":8,"use_sliding_window":true,"max_window_layers":2,"rope_scaling":{"type":"yarn","factor":4,"beta_fast":16,"beta_slow":2,"mscale":0.7,"mscale_all_dim":1,"truncate":false},"quantization_config":{"bits":4},"eos_token_id":[1,2]}"""),
        Encoding.UTF8.GetBytes("""{"model_type":"gemma3_text","hidden_size":64,"intermediate_size":64,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":10,"max_position_embeddings":64,"sliding_window":8,"layer_types":["sliding_attention","full_attention"],"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8},"sliding_attention":{"rope_theta":100,"partial_rotary_factor":0.5}}}"""),
    ];

    [Fact]
    public void Mutated_configs_are_rejected_or_sound() =>
        Fuzz.Run(100_000, static random => Mutator.Mutate(random, Configs[random.Next(Configs.Length)]), static bytes => AssertSound(ModelConfig.Parse(bytes, "x")));

    [Fact]
    public void Mutated_generation_configs_are_rejected_or_sound()
    {
        byte[] seed = """{"do_sample":true,"temperature":0.7,"top_p":0.95,"top_k":20,"min_p":0.05,"repetition_penalty":1.1,"max_new_tokens":256,"eos_token_id":[2,0],"bos_token_id":1,"pad_token_id":3}"""u8.ToArray();
        Fuzz.Run(50_000, random => Mutator.Mutate(random, seed), static bytes =>
        {
            GenerationConfig config = GenerationConfig.Parse(bytes, "x");
            Assert.True(config.Temperature is null or >= 0);
            Assert.True(config.TopP is null or (> 0 and <= 1));
            Assert.True(config.MaxNewTokens is null or > 0);
            Assert.DoesNotContain(config.EosTokenIds, static id => id < 0);
        });
    }

    [Fact]
    public void Mutated_indexes_are_rejected_or_stay_in_the_directory()
    {
        byte[] seed = """{"metadata":{"total_size":12},"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}}"""u8.ToArray();
        string root = Path.GetFullPath("/models/x");
        Fuzz.Run(100_000, random => Mutator.Mutate(random, seed), bytes =>
        {
            WeightIndex index = WeightIndex.Parse(bytes, "x");
            Assert.NotEmpty(index.Shards);
            Assert.True(index.TotalSize is null or >= 0);
            foreach (string shard in index.Shards)
            {
                Assert.Equal(root, Path.GetDirectoryName(Path.GetFullPath(Path.Combine(root, shard))));
            }
        });
    }

    private static void AssertSound(ModelConfig config)
    {
        Assert.Equal(0, config.NumAttentionHeads % config.NumKeyValueHeads);
        Assert.Equal(0, config.HeadDim % 2);
        Assert.InRange(config.HeadDim, 2, 1024);
        Assert.True(config.VocabSize > 0 && config.HiddenSize > 0 && config.IntermediateSize > 0 && config.MaxPositionEmbeddings > 0);
        Assert.True(config.RmsNormEps > 0 && double.IsFinite(config.RmsNormEps));
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            Assert.True(config.SlidingWindowOf(layer) is null or > 0);
        }

        foreach (RopeConfig rope in (RopeConfig[])[config.Rope, config.SlidingRope ?? config.Rope])
        {
            float[] frequencies = RopeFrequencies.Compute(rope, rope.RotaryDim(config.HeadDim), config.MaxPositionEmbeddings, out float scaling);
            Assert.True(float.IsFinite(scaling) && scaling > 0, $"attention scaling {scaling}");
            Assert.All(frequencies, static frequency => Assert.True(float.IsFinite(frequency) && frequency >= 0, $"frequency {frequency}"));
        }
    }
}
