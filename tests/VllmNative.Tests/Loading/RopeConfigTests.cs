using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>Rotary settings in the key styles of transformers 4 and 5 read the same.</summary>
public sealed class RopeConfigTests
{
    [Theory]
    [InlineData("""{"rope_theta":5e5}""", """{"rope_parameters":{"rope_type":"default","rope_theta":5e5}}""")]
    [InlineData("""{"rope_theta":5e5,"rope_scaling":{"type":"linear","factor":2}}""", """{"rope_parameters":{"rope_type":"linear","rope_theta":5e5,"factor":2.0}}""")]
    [InlineData("""{"rope_theta":5e5,"rope_scaling":{"rope_type":"linear","type":"nonsense","factor":2}}""", """{"rope_parameters":{"rope_type":"linear","factor":2},"rope_theta":5e5}""")]
    [InlineData(
        """{"rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}}""",
        """{"rope_parameters":{"rope_theta":5e5,"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}}""")]
    [InlineData(
        """{"rope_scaling":{"type":"yarn","factor":4},"original_max_position_embeddings":128}""",
        """{"rope_parameters":{"rope_type":"yarn","original_max_position_embeddings":128}}""")]
    [InlineData(
        """{"partial_rotary_factor":0.5}""",
        """{"rope_parameters":{"partial_rotary_factor":0.5},"rope_scaling":{"type":"ignored"}}""")]
    public void Both_styles_read_the_same(string old, string now) => Assert.Equal(ModelConfigTests.Parse(old).Rope, ModelConfigTests.Parse(now).Rope);

    [Fact]
    public void Yarn_has_its_defaults()
    {
        RopeConfig rope = ModelConfigTests.Parse("""{"rope_scaling":{"type":"yarn","factor":4}}""").Rope;
        Assert.Equal(new RopeConfig { Type = RopeType.Yarn, Factor = 4, BetaFast = 32, BetaSlow = 1, Truncate = true }, rope);
    }

    [Fact]
    public void Yarn_options_are_read()
    {
        RopeConfig rope = ModelConfigTests.Parse("""{"rope_scaling":{"type":"yarn","factor":40,"beta_fast":16,"beta_slow":2,"attention_factor":1.5,"mscale":0.707,"mscale_all_dim":1,"truncate":false,"original_max_position_embeddings":4096}}""").Rope;
        Assert.Equal(
            new RopeConfig
            {
                Type = RopeType.Yarn,
                Factor = 40,
                BetaFast = 16,
                BetaSlow = 2,
                AttentionFactor = 1.5,
                Mscale = 0.707,
                MscaleAllDim = 1,
                Truncate = false,
                OriginalMaxPositionEmbeddings = 4096,
            },
            rope);
    }

    [Theory]
    [InlineData("""{"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8,"rope_theta":1e6},"sliding_attention":{"rope_type":"default","rope_theta":1e4}}}""")]
    [InlineData("""{"rope_theta":1e6,"rope_scaling":{"rope_type":"linear","factor":8},"rope_local_base_freq":1e4}""")]
    public void Sliding_layers_may_have_settings_of_their_own(string changes)
    {
        const string Layers = ""","model_type":"gemma3_text","sliding_window":16,"layer_types":["sliding_attention","full_attention","full_attention","full_attention"]}""";
        ModelConfig config = ModelConfigTests.Parse(changes[..^1] + Layers);
        Assert.Equal(new RopeConfig { Theta = 1e4 }, config.RopeOf(0));
        Assert.Equal(new RopeConfig { Type = RopeType.Linear, Theta = 1e6, Factor = 8 }, config.RopeOf(1));
    }

    [Theory]
    [InlineData("""{"type":"dynamic","factor":2}""", "rope_type", "'dynamic' is not supported")]
    [InlineData("""{"type":"longrope"}""", "rope_type", "'longrope' is not supported")]
    [InlineData("""{"type":""}""", "rope_type", "'' is not supported")]
    [InlineData("""{"type":3}""", "type", "3 is not a string")]
    [InlineData("""{"type":"linear"}""", "factor", "is missing")]
    [InlineData("""{"type":"linear","factor":0}""", "factor", "0 is not a number from")]
    [InlineData("""{"type":"linear","factor":-1}""", "factor", "-1 is not a number from")]
    [InlineData("""{"type":"linear","factor":1e999}""", "factor", "1e999 is not a number from")]
    [InlineData("""{"type":"linear","factor":"4"}""", "factor", "\"4\" is not a number from")]
    [InlineData("""{"type":"llama3","factor":8,"high_freq_factor":4,"original_max_position_embeddings":64}""", "low_freq_factor", "is missing")]
    [InlineData("""{"type":"llama3","factor":8,"low_freq_factor":1,"original_max_position_embeddings":64}""", "high_freq_factor", "is missing")]
    [InlineData("""{"type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}""", "original_max_position_embeddings", "is missing")]
    [InlineData("""{"type":"llama3","low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}""", "factor", "is missing")]
    [InlineData("""{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4,"original_max_position_embeddings":64}""", "high_freq_factor", "4 is not above low_freq_factor 4")]
    [InlineData("""{"type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":0}""", "original_max_position_embeddings", "0 is not an integer")]
    [InlineData("""{"type":"yarn"}""", "factor", "is missing")]
    [InlineData("""{"type":"yarn","factor":2,"beta_fast":1,"beta_slow":2}""", "beta_fast", "1 is below beta_slow 2")]
    [InlineData("""{"type":"yarn","factor":2,"attention_factor":-1}""", "attention_factor", "-1 is not a number")]
    [InlineData("""{"type":"yarn","factor":2,"truncate":"no"}""", "truncate", "\"no\" is not true or false")]
    [InlineData("""{"rope_theta":0.5}""", "rope_theta", "0.5 is not a number")]
    [InlineData("""{"partial_rotary_factor":0.1}""", "partial_rotary_factor", "0.1 of head_dim 16 rotates 1 dimensions")]
    public void Bad_settings_are_named(string scaling, string key, string cause)
    {
        foreach (string style in (string[])["rope_scaling", "rope_parameters"])
        {
            ModelFormatException error = Assert.Throws<ModelFormatException>(() => ModelConfigTests.Parse($"{{\"{style}\":{scaling}}}"));
            Assert.Equal($"{style}.{key}", error.Item);
            Assert.Contains(cause, error.Cause, StringComparison.Ordinal);
        }
    }
}
