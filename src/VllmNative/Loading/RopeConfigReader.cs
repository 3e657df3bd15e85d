using System.Text.Json;

namespace VllmNative.Loading;

/// <summary>Reads rotary settings in the key style of transformers 4 and of transformers 5.</summary>
internal static class RopeConfigReader
{
    private const double MaxTheta = 1e15;
    private const double MaxFactor = 1e6;

    private static readonly JsonElement EmptyObject = JsonDocument.Parse("{}").RootElement.Clone();

    /// <summary>Reads the settings of full-attention layers and, where the file has others for them, of sliding layers.</summary>
    public static (RopeConfig Full, RopeConfig? Sliding) Read(ConfigObject config, string modelType, int headDim, int maxPositions)
    {
        if (config.Object("rope_parameters") is not { } parameters)
        {
            RopeConfig full = ReadOne(config, config.Object("rope_scaling"), modelType, headDim, maxPositions);

            // Gemma 3 before transformers 5: sliding layers have a base of their own and are never scaled.
            double? local = Theta(config, "rope_local_base_freq") ?? (modelType is "gemma3_text" ? 10_000 : null);
            return (full, local is { } theta ? full with { Type = RopeType.Default, Theta = theta, Factor = 1 } : null);
        }

        ConfigObject? fullLayers = parameters.Object(LayerTypes.Full);
        ConfigObject? slidingLayers = parameters.Object(LayerTypes.Sliding);
        if (fullLayers is null && slidingLayers is null)
        {
            return (ReadOne(config, parameters, modelType, headDim, maxPositions), null);
        }

        return (
            ReadOne(config, fullLayers ?? slidingLayers, modelType, headDim, maxPositions),
            slidingLayers is null ? null : ReadOne(config, slidingLayers, modelType, headDim, maxPositions));
    }

    private static RopeConfig ReadOne(ConfigObject config, ConfigObject? stated, string modelType, int headDim, int maxPositions)
    {
        // Without a scaling object all of its keys count as not stated; the base may stand in either place.
        ConfigObject rope = stated ?? new ConfigObject(config.File, "rope_scaling", EmptyObject);
        RopeType type = ReadType(rope);
        RopeConfig result = new()
        {
            Type = type,
            Theta = Theta(rope, "rope_theta") ?? Theta(config, "rope_theta") ?? DefaultTheta(modelType),
            PartialRotaryFactor = PositiveNumber(rope, 1, "partial_rotary_factor") ?? PositiveNumber(config, 1, "partial_rotary_factor") ?? 1,
        };
        int rotaryDim = result.RotaryDim(headDim);
        if (rotaryDim < 2 || rotaryDim % 2 != 0)
        {
            throw rope.Error("partial_rotary_factor", FormattableString.Invariant($"{result.PartialRotaryFactor} of head_dim {headDim} rotates {rotaryDim} dimensions, which is not a positive even number"));
        }

        return type switch
        {
            RopeType.Linear => result with { Factor = RequiredFactor(rope) },
            RopeType.Llama3 => ReadLlama3(rope, result),
            RopeType.Yarn => ReadYarn(config, rope, result, maxPositions),
            _ => result,
        };
    }

    private static RopeType ReadType(ConfigObject rope)
    {
        string name = rope.String("rope_type", "type") ?? "default";
        return name switch
        {
            "default" => RopeType.Default,
            "linear" => RopeType.Linear,
            "llama3" => RopeType.Llama3,
            "yarn" => RopeType.Yarn,
            _ => throw rope.Error("rope_type", $"'{JsonText.Of(name)}' is not supported (known: default, linear, llama3, yarn)"),
        };
    }

    private static RopeConfig ReadLlama3(ConfigObject rope, RopeConfig result)
    {
        double low = PositiveNumber(rope, MaxFactor, "low_freq_factor") ?? throw rope.Missing("low_freq_factor");
        double high = PositiveNumber(rope, MaxFactor, "high_freq_factor") ?? throw rope.Missing("high_freq_factor");
        if (high <= low)
        {
            throw rope.Error("high_freq_factor", FormattableString.Invariant($"{high} is not above low_freq_factor {low}"));
        }

        return result with
        {
            Factor = RequiredFactor(rope),
            LowFreqFactor = low,
            HighFreqFactor = high,
            OriginalMaxPositionEmbeddings = OriginalContext(rope) ?? throw rope.Missing("original_max_position_embeddings"),
        };
    }

    private static RopeConfig ReadYarn(ConfigObject config, ConfigObject rope, RopeConfig result, int maxPositions)
    {
        int? original = OriginalContext(rope) ?? OriginalContext(config);
        double? factor = PositiveNumber(rope, MaxFactor, "factor");
        if (factor is null && original is { } pretrained)
        {
            factor = (double)maxPositions / pretrained;
        }

        // Zero means "not stated" for these four, as it does in Python's `x or default`.
        double fast = NonZero(rope.Number(0, MaxFactor, "beta_fast")) ?? 32;
        double slow = NonZero(rope.Number(0, MaxFactor, "beta_slow")) ?? 1;
        if (fast < slow)
        {
            throw rope.Error("beta_fast", FormattableString.Invariant($"{fast} is below beta_slow {slow}"));
        }

        return result with
        {
            Factor = factor ?? throw rope.Missing("factor"),
            OriginalMaxPositionEmbeddings = original,
            BetaFast = fast,
            BetaSlow = slow,
            AttentionFactor = PositiveNumber(rope, MaxFactor, "attention_factor"),
            Mscale = NonZero(rope.Number(0, MaxFactor, "mscale")),
            MscaleAllDim = NonZero(rope.Number(0, MaxFactor, "mscale_all_dim")),
            Truncate = rope.Bool("truncate") ?? true,
        };
    }

    private static double RequiredFactor(ConfigObject rope) => PositiveNumber(rope, MaxFactor, "factor") ?? throw rope.Missing("factor");

    private static int? OriginalContext(ConfigObject json) => json.Int(1, ModelConfigLimits.Context, "original_max_position_embeddings");

    // A base of 1 or less has no falling frequencies, and YaRN divides by its logarithm.
    private static double? Theta(ConfigObject json, string key) => json.Number(1.001, MaxTheta, key);

    // The smallest factor keeps single-precision results finite.
    private static double? PositiveNumber(ConfigObject json, double max, string key) => json.Number(1e-6, max, key);

    private static double? NonZero(double? value) => value == 0 ? null : value;

    private static double DefaultTheta(string modelType) => modelType is "mixtral" or "gemma3_text" ? 1_000_000 : 10_000;
}
