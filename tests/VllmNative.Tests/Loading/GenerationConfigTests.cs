using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

public sealed class GenerationConfigTests
{
    [Fact]
    public void A_directory_without_the_file_states_nothing()
    {
        using TempDirectory temp = new();
        GenerationConfig config = GenerationConfig.Load(temp.Path);
        Assert.Equal(new GenerationConfig(), config);
        Assert.Null(config.DoSample);
        Assert.Empty(config.EosTokenIds);
    }

    [Fact]
    public void All_keys_are_read()
    {
        using TempDirectory temp = new();
        temp.Write("generation_config.json", """
            {"do_sample":true,"temperature":0.7,"top_p":0.95,"top_k":20,"min_p":0.05,"repetition_penalty":1.1,
             "max_new_tokens":256,"eos_token_id":[2,0],"bos_token_id":1,"pad_token_id":3,"transformers_version":"5.0"}
            """);
        GenerationConfig config = GenerationConfig.Load(temp.Path);
        Assert.True(config.DoSample);
        Assert.Equal((0.7, 0.95, 20, 0.05, 1.1, 256), (config.Temperature, config.TopP, config.TopK, config.MinP, config.RepetitionPenalty, config.MaxNewTokens));
        Assert.Equal([2, 0], config.EosTokenIds);
        Assert.Equal((1, 3), (config.BosTokenId, config.PadTokenId));
    }

    [Fact]
    public void Minus_one_means_no_padding_and_no_top_k()
    {
        GenerationConfig config = GenerationConfig.Parse("""{"pad_token_id":-1,"top_k":-1,"eos_token_id":2}""", "x");
        Assert.Null(config.PadTokenId);
        Assert.Equal(-1, config.TopK);
        Assert.Equal([2], config.EosTokenIds);
    }

    [Theory]
    [InlineData("do_sample", "1")]
    [InlineData("temperature", "-0.1")]
    [InlineData("temperature", "1e999")]
    [InlineData("temperature", "\"0.7\"")]
    [InlineData("top_p", "0")]
    [InlineData("top_p", "1.01")]
    [InlineData("top_k", "-2")]
    [InlineData("top_k", "2.5")]
    [InlineData("min_p", "-0.01")]
    [InlineData("min_p", "1.01")]
    [InlineData("repetition_penalty", "0")]
    [InlineData("repetition_penalty", "-1")]
    [InlineData("max_new_tokens", "0")]
    [InlineData("max_new_tokens", "99999999999")]
    [InlineData("eos_token_id", "-1")]
    [InlineData("eos_token_id", "[2,-7]")]
    [InlineData("eos_token_id", "{}")]
    [InlineData("bos_token_id", "-1")]
    [InlineData("pad_token_id", "-2")]
    public void A_value_out_of_range_is_named_with_its_key(string key, string value)
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => GenerationConfig.Parse($"{{\"{key}\":{value}}}", "x"));
        Assert.Equal(("x", key), (error.File, error.Item));
    }

    [Fact]
    public void A_malformed_file_is_not_taken_for_an_absent_one()
    {
        using TempDirectory temp = new();
        temp.Write("generation_config.json", "");
        Assert.Throws<ModelFormatException>(() => GenerationConfig.Load(temp.Path));
        File.Delete(Path.Combine(temp.Path, "generation_config.json"));
        Directory.CreateDirectory(Path.Combine(temp.Path, "generation_config.json"));
        Assert.Throws<ModelFormatException>(() => GenerationConfig.Load(temp.Path));
    }
}
