using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>A decoder-only transformer: embedding, layers, norm, head. What differs between families is in its spec.</summary>
internal sealed class DecoderModel : IDisposable
{
    private readonly Weight _embedding;
    private readonly DecoderLayer[] _layers;
    private readonly RmsNorm _finalNorm;
    private readonly Linear _head;
    private readonly bool _tied;
    private readonly RotaryEmbedding[] _rotaries;
    private readonly Activations _activations;

    internal DecoderModel(
        ModelConfig config,
        DataType type,
        Weight embedding,
        DecoderLayer[] layers,
        RmsNorm finalNorm,
        Linear head,
        bool tied,
        RotaryEmbedding[] rotaries,
        Activations activations)
    {
        Config = config;
        Type = type;
        _embedding = embedding;
        _layers = layers;
        _finalNorm = finalNorm;
        _head = head;
        _tied = tied;
        _rotaries = rotaries;
        _activations = activations;
    }

    internal ModelConfig Config { get; }

    /// <summary>Element type of weights and activations.</summary>
    internal DataType Type { get; }

    internal IReadOnlyList<DecoderLayer> Layers => _layers;

    internal int Vocabulary => (int)_head.Weight.Rows;

    internal int Hidden => Config.HiddenSize;

    /// <summary>Bytes of all matrices.</summary>
    internal long WeightBytes
    {
        get
        {
            long bytes = _embedding.Bytes + (_tied ? 0 : _head.Weight.Bytes);
            foreach (DecoderLayer layer in _layers)
            {
                bytes += layer.Attention.Qkv.Weight.Bytes + layer.Attention.Output.Weight.Bytes;
                bytes += layer.Mlp.GateUp.Weight.Bytes + layer.Mlp.Down.Weight.Bytes;
            }

            return bytes;
        }
    }

    internal long ActivationBytes => _activations.Bytes;

    /// <summary>Computes the step's tokens and writes their K/V; returns the final hidden states [T, hidden].</summary>
    internal Tensor Forward(in ForwardContext context)
    {
        var a = new StepActivations(_activations, context.NumTokens);
        context.Device.Embedding(_embedding, context.TokenIds, a.Residual, 1);
        foreach (RotaryEmbedding rotary in _rotaries)
        {
            rotary.Prepare(context);
        }

        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i].Forward(context, a, first: i == 0);
        }

        _finalNorm.AddForward(context, a.Delta, a.Residual, a.Normed);
        return a.Normed;
    }

    /// <summary>logits [S, vocabulary] of hidden states [S, hidden].</summary>
    internal void ComputeLogits(in ForwardContext context, Tensor hidden, Tensor logits) => _head.Forward(context, hidden, logits);

    /// <summary>Has the device choose how it computes the layers' products for so many tokens; activations are lost.</summary>
    internal void TuneLayers(Device device, int tokens)
    {
        var a = new StepActivations(_activations, tokens);
        // The layers' matrices have the same shapes, and the device remembers by shape.
        DecoderLayer layer = _layers[0];
        layer.Attention.Qkv.Tune(device, a.Normed, a.Qkv);
        layer.Attention.Output.Tune(device, a.Attended, a.Delta);
        layer.Mlp.GateUp.Tune(device, a.Normed, a.GateUp);
        layer.Mlp.Down.Tune(device, a.Activated, a.Delta);
    }

    /// <summary>The same for logits [S, vocabulary] of hidden states [S, hidden].</summary>
    internal void TuneHead(Device device, Tensor hidden, Tensor logits) => _head.Tune(device, hidden, logits);

    /// <summary>Scratch memory for any step of up to these sizes.</summary>
    internal long WorkspaceBytes(Device device, int maxTokens, int maxLogits, int maxSequence)
    {
        long bytes = ModelOps.GemmWorkspace(_head.Weight, Type, maxLogits);
        foreach (DecoderLayer layer in _layers)
        {
            AttentionShape shape = layer.Attention.Shape;
            bytes = Math.Max(bytes, device.AttentionWorkspace(maxTokens, shape.QueryHeads, shape.HeadDim, maxSequence));
            bytes = Math.Max(bytes, ModelOps.GemmWorkspace(layer.Attention.Qkv.Weight, Type, maxTokens));
            bytes = Math.Max(bytes, ModelOps.GemmWorkspace(layer.Attention.Output.Weight, Type, maxTokens));
            bytes = Math.Max(bytes, ModelOps.GemmWorkspace(layer.Mlp.GateUp.Weight, Type, maxTokens));
            bytes = Math.Max(bytes, ModelOps.GemmWorkspace(layer.Mlp.Down.Weight, Type, maxTokens));
        }

        return bytes;
    }

    public void Dispose()
    {
        foreach (DecoderLayer layer in _layers)
        {
            layer.Dispose();
        }

        foreach (RotaryEmbedding rotary in _rotaries)
        {
            rotary.Dispose();
        }

        _finalNorm.Dispose();
        _head.Dispose();
        _embedding.Dispose();
        _activations.Dispose();
    }
}
