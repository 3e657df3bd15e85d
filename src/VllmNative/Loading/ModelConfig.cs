using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// A model's <c>config.json</c>, validated: what is missing has the default that transformers gives it, and both key
/// styles (transformers 4: rope_theta, rope_scaling, torch_dtype; transformers 5: rope_parameters, dtype) read the same.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>Classes that can run the model (<c>architectures</c>); may be empty.</summary>
    public ImmutableArray<string> Architectures { get; init; } = [];

    /// <summary>Family of the model (<c>model_type</c>), e.g. llama.</summary>
    public required string ModelType { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width inside the feed-forward layer.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of layers.</summary>
    public required int NumHiddenLayers { get; init; }

    /// <summary>Query heads.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary>Key/value heads; divides <see cref="NumAttentionHeads"/>.</summary>
    public required int NumKeyValueHeads { get; init; }

    /// <summary>Dimensions of a head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int VocabSize { get; init; }

    /// <summary>Longest context in tokens.</summary>
    public required int MaxPositionEmbeddings { get; init; }

    /// <summary>Epsilon of the norms.</summary>
    public double RmsNormEps { get; init; } = 1e-6;

    /// <summary>Activation of the feed-forward layer, e.g. silu.</summary>
    public string HiddenAct { get; init; } = "silu";

    /// <summary>Whether the output projection is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Whether all attention projections have a bias (some families have one on q, k, v without saying so).</summary>
    public bool AttentionBias { get; init; }

    /// <summary>Whether the feed-forward projections have a bias.</summary>
    public bool MlpBias { get; init; }

    /// <summary>Rotary embedding of the model, of its full-attention layers where layers differ; without meaning for families with learned positions.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary>Rotary embedding of sliding-window layers, where it differs from <see cref="Rope"/>.</summary>
    public RopeConfig? SlidingRope { get; init; }

    /// <summary>Type of the weights as stated (<c>dtype</c> or <c>torch_dtype</c>), e.g. bfloat16; "auto" if not stated.</summary>
    public string Dtype { get; init; } = "auto";

    /// <summary>First token of a text, if the model has one.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Tokens that end a text; may be empty.</summary>
    public ImmutableArray<int> EosTokenIds { get; init; } = [];

    /// <summary>The <c>quantization_config</c> object; null for plain weights.</summary>
    public JsonElement? QuantizationConfig { get; init; }

    /// <summary>The whole file, for keys that only one family has.</summary>
    public JsonElement Raw { get; init; }

    internal ImmutableArray<int?> LayerWindows { get; init; } = [];

    /// <summary>The number of newest tokens, itself included, that a token sees in a layer; null for all.</summary>
    /// <param name="layer">0 to <see cref="NumHiddenLayers"/> - 1.</param>
    public int? SlidingWindowOf(int layer)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, NumHiddenLayers);
        return LayerWindows.IsEmpty ? null : LayerWindows[layer];
    }

    /// <summary>The rotary embedding of a layer.</summary>
    /// <param name="layer">0 to <see cref="NumHiddenLayers"/> - 1.</param>
    public RopeConfig RopeOf(int layer) => SlidingWindowOf(layer) is null ? Rope : SlidingRope ?? Rope;

    /// <summary>Reads <c>config.json</c> of a model directory.</summary>
    /// <param name="modelDir">The directory.</param>
    /// <exception cref="ModelFormatException">The file is missing, malformed, or holds a value that is out of range.</exception>
    public static ModelConfig Load(string modelDir)
    {
        ArgumentNullException.ThrowIfNull(modelDir);
        string path = Path.Combine(modelDir, "config.json");
        return Parse(JsonFile.ReadBytes(path, JsonFile.MaxConfigLength), path);
    }

    /// <summary>Reads the text of a <c>config.json</c>.</summary>
    /// <param name="json">The text.</param>
    /// <param name="file">The name to use in errors.</param>
    /// <exception cref="ModelFormatException">The text is malformed or holds a value that is out of range.</exception>
    public static ModelConfig Parse(string json, string file)
    {
        ArgumentNullException.ThrowIfNull(json);
        return Parse(Encoding.UTF8.GetBytes(json), file);
    }

    internal static ModelConfig Parse(ReadOnlyMemory<byte> utf8, string file) =>
        JsonFile.ParseObject(utf8, JsonFile.MaxConfigLength, file, ModelConfigReader.Read);
}
