using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>Mistral: no biases; the sliding window comes with the config.</summary>
internal static class MistralModel
{
    internal static DecoderSpec Describe(ModelConfig config) => new() { Config = config };
}
