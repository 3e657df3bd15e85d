using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>Llama 1 to 3: biases only where the config says so.</summary>
internal static class LlamaModel
{
    internal static DecoderSpec Describe(ModelConfig config) => new()
    {
        Config = config,
        QkvBias = config.AttentionBias,
        OutputBias = config.AttentionBias,
        MlpBias = config.MlpBias,
    };
}
