using VllmNative.Diagnostics;
using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>Which architecture is described by which model file.</summary>
internal static class ModelRegistry
{
    private static readonly Dictionary<string, Func<ModelConfig, DecoderSpec>> Architectures = new(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = LlamaModel.Describe,
        ["MistralForCausalLM"] = MistralModel.Describe,
        ["Qwen2ForCausalLM"] = Qwen2Model.Describe,
        ["Qwen3ForCausalLM"] = Qwen3Model.Describe,
    };

    /// <exception cref="ModelFormatException">No listed architecture is known, or the weights are quantized.</exception>
    internal static DecoderSpec Describe(ModelConfig config, string file)
    {
        if (config.QuantizationConfig is { } quantization)
        {
            throw new ModelFormatException(file, "quantization_config", $"quantized weights are not supported: {Short(quantization.GetRawText())}");
        }

        foreach (string architecture in config.Architectures)
        {
            if (Architectures.TryGetValue(architecture, out Func<ModelConfig, DecoderSpec>? describe))
            {
                return describe(config);
            }
        }

        string found = config.Architectures.Length == 0 ? "none" : string.Join(", ", config.Architectures);
        throw new ModelFormatException(file, "architectures", $"found {Short(found)}, supported are {string.Join(", ", Architectures.Keys)}");
    }

    private static string Short(string text) => text.Length <= 200 ? text : text[..200] + "...";
}
