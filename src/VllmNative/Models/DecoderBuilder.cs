using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>Builds a decoder from its spec and a source of parameters.</summary>
internal sealed class DecoderBuilder(Device device, DecoderSpec spec, DataType type, DataType residualType, IParameterSource source, int maxTokens)
{
    private readonly ModelConfig _config = spec.Config;
    private readonly Dictionary<RopeConfig, RotaryEmbedding> _rotaries = [];

    internal DecoderModel Build()
    {
        bool tied = _config.TieWordEmbeddings;
        Weight embedding = source.Matrix(lookup: !tied, _config.HiddenSize, [new(DecoderNames.Embedding, _config.VocabSize)]);
        var layers = new DecoderLayer[_config.NumHiddenLayers];
        for (int layer = 0; layer < layers.Length; layer++)
        {
            layers[layer] = Layer(layer);
        }

        RmsNorm finalNorm = Norm(DecoderNames.FinalNorm, _config.HiddenSize);
        Weight head = tied ? embedding : source.Matrix(lookup: false, _config.HiddenSize, [new(DecoderNames.Head, _config.VocabSize)]);
        AttentionShape shape = layers[0].Attention.Shape;
        var activations = new Activations(device, type, residualType, maxTokens, _config.HiddenSize, shape.MergedSize, shape.QuerySize, _config.IntermediateSize);
        return new DecoderModel(_config, type, embedding, layers, finalNorm, new Linear(head, null), tied, [.. _rotaries.Values], activations);
    }

    private DecoderLayer Layer(int layer)
    {
        var shape = new AttentionShape(
            _config.NumAttentionHeads, _config.NumKeyValueHeads, _config.HeadDim, _config.SlidingWindowOf(layer) ?? 0, 0, 0);
        string Name(string name) => DecoderNames.Layer(layer, name);

        Linear qkv = Projection(
            _config.HiddenSize,
            spec.QkvBias,
            new(Name("self_attn.q_proj"), shape.QuerySize),
            new(Name("self_attn.k_proj"), shape.KvSize),
            new(Name("self_attn.v_proj"), shape.KvSize));
        Linear output = Projection(shape.QuerySize, spec.OutputBias, new ParameterPart(Name("self_attn.o_proj"), _config.HiddenSize));
        var attention = new Attention(
            layer,
            shape,
            qkv,
            output,
            spec.QkNorm ? Norm(Name("self_attn.q_norm.weight"), shape.HeadDim) : null,
            spec.QkNorm ? Norm(Name("self_attn.k_norm.weight"), shape.HeadDim) : null,
            Rotary(_config.RopeOf(layer)));
        var mlp = new GatedMlp(
            Projection(
                _config.HiddenSize,
                spec.MlpBias,
                new(Name("mlp.gate_proj"), _config.IntermediateSize),
                new(Name("mlp.up_proj"), _config.IntermediateSize)),
            Projection(_config.IntermediateSize, spec.MlpBias, new ParameterPart(Name("mlp.down_proj"), _config.HiddenSize)),
            spec.Activation);
        return new DecoderLayer(
            Norm(Name("input_layernorm.weight"), _config.HiddenSize),
            attention,
            Norm(Name("post_attention_layernorm.weight"), _config.HiddenSize),
            mlp);
    }

    private Linear Projection(int columns, bool hasBias, params ReadOnlySpan<ParameterPart> parts)
    {
        Span<ParameterPart> named = new ParameterPart[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            named[i] = parts[i] with { Name = parts[i].Name + ".weight" };
        }

        Weight weight = source.Matrix(lookup: false, columns, named);
        if (!hasBias)
        {
            return new Linear(weight, null);
        }

        for (int i = 0; i < parts.Length; i++)
        {
            named[i] = parts[i] with { Name = parts[i].Name + ".bias" };
        }

        return new Linear(weight, source.Vector(named));
    }

    private RmsNorm Norm(string name, int length) => new(source.Vector([new(name, length)]), (float)_config.RmsNormEps);

    private RotaryEmbedding Rotary(RopeConfig rope)
    {
        if (!_rotaries.TryGetValue(rope, out RotaryEmbedding? rotary))
        {
            float[] frequencies = RopeFrequencies.Compute(rope, rope.RotaryDim(_config.HeadDim), _config.MaxPositionEmbeddings, out float scaling);
            _rotaries[rope] = rotary = new RotaryEmbedding(device, frequencies, scaling, maxTokens);
        }

        return rotary;
    }
}
