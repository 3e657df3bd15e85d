using VllmNative.Diagnostics;
using VllmNative.Loading;
using VllmNative.Tensors;

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

    /// <exception cref="ModelFormatException">No listed architecture is known, or the config asks for what is not supported.</exception>
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
                return describe(config) with { Activation = ActivationOf(config.HiddenAct, file) };
            }
        }

        string found = config.Architectures.Length == 0 ? "none" : string.Join(", ", config.Architectures);
        throw new ModelFormatException(file, "architectures", $"found {Short(found)}, supported are {string.Join(", ", Architectures.Keys)}");
    }

    private static ActivationFunction ActivationOf(string name, string file) => name switch
    {
        "silu" or "swish" => ActivationFunction.Silu,
        "gelu" => ActivationFunction.Gelu,
        "gelu_pytorch_tanh" or "gelu_new" or "gelu_fast" => ActivationFunction.GeluTanh,
        _ => throw new ModelFormatException(file, "hidden_act", $"is \"{Short(name)}\", supported are silu, gelu, gelu_pytorch_tanh"),
    };

    private static string Short(string text) => text.Length <= 200 ? text : text[..200] + "...";
}
