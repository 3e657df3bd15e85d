using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>Qwen 3: q and k are normed per head.</summary>
internal static class Qwen3Model
{
    internal static DecoderSpec Describe(ModelConfig config) => new()
    {
        Config = config,
        QkNorm = true,
        QkvBias = config.AttentionBias,
        OutputBias = config.AttentionBias,
    };
}
