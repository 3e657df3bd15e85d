using System.Collections.Immutable;

namespace VllmNative.Loading;

/// <summary>Which layers see a sliding window: stated by <c>layer_types</c>, or by the habit of the model type.</summary>
internal static class LayerTypes
{
    public const string Full = "full_attention";
    public const string Sliding = "sliding_attention";

    /// <summary>The window of each layer, null for full attention.</summary>
    public static ImmutableArray<int?> Windows(ConfigObject config, string modelType, int layers)
    {
        int? window = Window(config, modelType);
        ImmutableArray<string> types = config.Strings("layer_types");
        if (types.IsEmpty)
        {
            Func<int, bool> slides = Habit(config, modelType);
            return [.. Enumerable.Range(0, layers).Select(layer => slides(layer) ? window : null)];
        }

        if (types.Length != layers)
        {
            throw config.Error("layer_types", FormattableString.Invariant($"lists {types.Length} layers, num_hidden_layers is {layers}"));
        }

        return [.. types.Select(type => type switch
        {
            Full => (int?)null,
            Sliding => window ?? throw config.Error("layer_types", "lists sliding_attention, but no sliding_window is in use"),
            _ => throw config.Error("layer_types", $"'{JsonText.Of(type)}' is not supported (known: {Full}, {Sliding})"),
        })];
    }

    private static int? Window(ConfigObject config, string modelType)
    {
        int? stated = config.Int(1, int.MaxValue, "sliding_window");
        if (stated is null && !config.Has("sliding_window"))
        {
            // What the configuration class of that type assumes for a file that is silent; an explicit null means none.
            stated = IsQwen(modelType) || modelType is "mistral" or "gemma2" or "gemma3_text" ? 4096 : null;
        }

        bool used = config.Bool("use_sliding_window") ?? !IsQwen(modelType);
        return used ? stated : null;
    }

    private static Func<int, bool> Habit(ConfigObject config, string modelType)
    {
        if (IsQwen(modelType))
        {
            // The first max_window_layers layers have full attention.
            int first = config.Int(0, int.MaxValue, "max_window_layers") ?? 28;
            return modelType is "qwen3_moe" ? static _ => true : layer => layer >= first;
        }

        switch (modelType)
        {
            case "gemma2":
                return static layer => layer % 2 == 0;
            case "gemma3_text":
                int period = config.Int(1, ModelConfigLimits.Layers, "sliding_window_pattern", "_sliding_window_pattern") ?? 6;
                return layer => (layer + 1) % period != 0;
            case "mistral" or "mixtral" or "phi3":
                return static _ => true;
            default:
                // Llama and its kin know no window, whatever the file says.
                return static _ => false;
        }
    }

    private static bool IsQwen(string modelType) => modelType is "qwen2" or "qwen3" or "qwen2_moe" or "qwen3_moe";
}
