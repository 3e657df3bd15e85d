using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Self-attention over the paged KV cache: merged projection, optional q/k norm, rotation, cache write, attention, output projection.</summary>
internal sealed class Attention(
    int layer,
    AttentionShape shape,
    Linear qkv,
    Linear output,
    RmsNorm? qNorm,
    RmsNorm? kNorm,
    RotaryEmbedding rotary) : IDisposable
{
    internal AttentionShape Shape => shape;

    internal Linear Qkv => qkv;

    internal Linear Output => output;

    /// <summary>delta = attention(x); qkvBuffer and attended are scratch.</summary>
    internal void Forward(in ForwardContext context, Tensor x, Tensor qkvBuffer, Tensor attended, Tensor delta)
    {
        qkv.Forward(context, x, qkvBuffer);
        Tensor q = qkvBuffer.Heads(0, shape.QueryHeads, shape.HeadDim);
        Tensor k = qkvBuffer.Heads(shape.QuerySize, shape.KvHeads, shape.HeadDim);
        Tensor v = qkvBuffer.Heads(shape.QuerySize + shape.KvSize, shape.KvHeads, shape.HeadDim);
        qNorm?.ForwardHeads(context, q);
        kNorm?.ForwardHeads(context, k);
        rotary.Apply(context, q, k);

        ref readonly var cache = ref context.Kv.ViewOf(layer);
        context.Device.CacheWrite(k, v, context.SlotMapping, cache);
        context.Device.PagedAttention(
            new AttentionInputs
            {
                Query = q,
                Output = attended.Heads(0, shape.QueryHeads, shape.HeadDim),
                QueryStart = context.QueryStart,
                SequenceLengths = context.SequenceLengths,
                StepRows = context.StepRows,
                BlockTable = context.BlockTable,
                MaxQueryLength = context.MaxQueryLength,
                MaxSequenceLength = context.MaxSequenceLength,
                Workspace = context.Workspace,
                Scale = shape.Scale,
                SoftCap = shape.SoftCap,
                Window = shape.Window,
            },
            cache);
        output.Forward(context, attended, delta);
    }

    public void Dispose()
    {
        qkv.Dispose();
        output.Dispose();
        qNorm?.Dispose();
        kNorm?.Dispose();
    }
}
