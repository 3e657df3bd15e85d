using VllmNative.Loading;
using VllmNative.Models;
using Xunit;

namespace VllmNative.Tests.Performance;

/// <summary>The configs that benchmarks load with random weights describe the models that they are named after.</summary>
public sealed class BenchmarkConfigTests
{
    [Theory]
    [InlineData("tinyllama-1.1b", 22, 2048, 5632, 32, 4, 64, 32000, 2048, false, 1100)]
    [InlineData("llama-3.1-8b", 32, 4096, 14336, 32, 8, 128, 128256, 131072, false, 8030)]
    [InlineData("qwen3-0.6b", 28, 1024, 3072, 16, 8, 128, 151936, 40960, true, 596)]
    public void ConfigHasTheModelsShape(
        string name, int layers, int hidden, int intermediate, int heads, int kvHeads, int headDim, int vocabulary, int context, bool tied, int millions)
    {
        string file = TestAssets.Path("configs", name + ".json");
        ModelConfig config = ModelConfig.Parse(File.ReadAllText(file), file);
        DecoderSpec spec = ModelRegistry.Describe(config, file);
        Assert.Equal((layers, hidden, intermediate), (config.NumHiddenLayers, config.HiddenSize, config.IntermediateSize));
        Assert.Equal((heads, kvHeads, headDim), (config.NumAttentionHeads, config.NumKeyValueHeads, config.HeadDim));
        Assert.Equal((vocabulary, context, tied, "bfloat16"), (config.VocabSize, config.MaxPositionEmbeddings, config.TieWordEmbeddings, config.Dtype));
        Assert.Equal(name.StartsWith("qwen3", StringComparison.Ordinal), spec.QkNorm);

        long layer = ((long)hidden * headDim * ((2 * heads) + (2 * kvHeads))) + (3L * hidden * intermediate);
        long parameters = (layers * layer) + ((tied ? 1L : 2L) * hidden * vocabulary);
        Assert.InRange(parameters / 1e6, millions * 0.995, millions * 1.005);
    }
}
