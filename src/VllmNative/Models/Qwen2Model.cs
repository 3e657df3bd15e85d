using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>Qwen 2 and 2.5: biases on q, k and v, none on the output.</summary>
internal static class Qwen2Model
{
    internal static DecoderSpec Describe(ModelConfig config) => new() { Config = config, QkvBias = true };
}
