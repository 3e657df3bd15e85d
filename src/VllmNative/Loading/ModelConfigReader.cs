using System.Collections.Immutable;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>Turns the keys of a config.json into a <see cref="ModelConfig"/>; second spellings are those of GPT-2, OPT and Gemma.</summary>
internal static class ModelConfigReader
{
    /// <summary>Reads and validates.</summary>
    public static ModelConfig Read(ConfigObject json)
    {
        string modelType = json.String("model_type") ?? throw json.Missing("model_type");
        int hidden = json.RequiredInt(1, ModelConfigLimits.Hidden, "hidden_size", "n_embd");
        int layers = json.RequiredInt(1, ModelConfigLimits.Layers, "num_hidden_layers", "n_layer");
        int heads = json.RequiredInt(1, ModelConfigLimits.Heads, "num_attention_heads", "n_head");
        int vocab = json.RequiredInt(1, ModelConfigLimits.Vocab, "vocab_size");
        int context = json.RequiredInt(1, ModelConfigLimits.Context, "max_position_embeddings", "n_positions");
        int headDim = ReadHeadDim(json, hidden, heads);
        (RopeConfig rope, RopeConfig? slidingRope) = RopeConfigReader.Read(json, modelType, headDim, context);
        return new ModelConfig
        {
            Architectures = json.Strings("architectures"),
            ModelType = modelType,
            HiddenSize = hidden,
            IntermediateSize = ReadIntermediateSize(json, modelType, hidden),
            NumHiddenLayers = layers,
            NumAttentionHeads = heads,
            NumKeyValueHeads = ReadKeyValueHeads(json, heads),
            HeadDim = headDim,
            VocabSize = vocab,
            MaxPositionEmbeddings = context,
            RmsNormEps = json.Number(double.Epsilon, 1, "rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps") ?? DefaultEps(modelType),
            HiddenAct = json.String("hidden_act", "hidden_activation", "activation_function") ?? "silu",
            TieWordEmbeddings = json.Bool("tie_word_embeddings") ?? TiesByDefault(modelType),
            AttentionBias = json.Bool("attention_bias") ?? false,
            MlpBias = json.Bool("mlp_bias") ?? false,
            Rope = rope,
            SlidingRope = slidingRope,
            Dtype = ReadDtype(json),
            BosTokenId = ReadBos(json, vocab),
            EosTokenIds = json.IntOrList(0, vocab - 1, "eos_token_id"),
            QuantizationConfig = json.Object("quantization_config")?.Element,
            LayerWindows = LayerTypes.Windows(json, modelType, layers),
            Raw = json.Element,
        };
    }

    private static int ReadHeadDim(ConfigObject json, int hidden, int heads)
    {
        if (json.Int(1, ModelConfigLimits.HeadDim, "head_dim") is not { } headDim)
        {
            headDim = hidden / heads;
            if (hidden % heads != 0 || headDim > ModelConfigLimits.HeadDim)
            {
                throw json.Error("head_dim", $"is missing, and hidden_size {hidden} / num_attention_heads {heads} is no integer up to {ModelConfigLimits.HeadDim}");
            }
        }

        return headDim % 2 == 0 ? headDim : throw json.Error("head_dim", $"{headDim} is odd");
    }

    private static int ReadKeyValueHeads(ConfigObject json, int heads)
    {
        int keyValueHeads = json.Int(1, ModelConfigLimits.Heads, "num_key_value_heads") ?? heads;
        return heads % keyValueHeads == 0
            ? keyValueHeads
            : throw json.Error("num_key_value_heads", $"{keyValueHeads} does not divide num_attention_heads {heads}");
    }

    private static int ReadIntermediateSize(ConfigObject json, string modelType, int hidden) =>
        json.Int(1, ModelConfigLimits.Intermediate, "intermediate_size", "ffn_dim", "n_inner")
        ?? (modelType is "gpt2" ? 4 * hidden : throw json.Missing("intermediate_size"));

    private static string ReadDtype(ConfigObject json)
    {
        string name = json.String("dtype", "torch_dtype") ?? "auto";

        // Some exporters write the Python name of the type.
        const string Prefix = "torch.";
        return name.StartsWith(Prefix, StringComparison.Ordinal) ? name[Prefix.Length..] : name;
    }

    private static int? ReadBos(ConfigObject json, int vocab)
    {
        ImmutableArray<int> ids = json.IntOrList(0, vocab - 1, "bos_token_id");
        return ids.IsEmpty ? null : ids[0];
    }

    private static double DefaultEps(string modelType) => modelType is "gpt2" or "opt" or "mixtral" or "phi3" or "olmo2" ? 1e-5 : 1e-6;

    // The library-wide default is true; these families' own configuration classes say false.
    private static bool TiesByDefault(string modelType) => modelType is not (
        "llama" or "mistral" or "mixtral" or "qwen2" or "qwen3" or "qwen2_moe" or "qwen3_moe" or "phi3" or "olmo2" or "granite" or "deepseek_v3");
}
