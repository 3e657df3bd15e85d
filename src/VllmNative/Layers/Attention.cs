using VllmNative.Bindings;
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

        ref readonly KvCacheView cache = ref context.Kv.ViewOf(layer);
        context.Device.CacheWrite(k, v, context.SlotMapping, cache);
        var p = new AttentionParams
        {
            Q = q.ToNative(),
            Out = attended.Heads(0, shape.QueryHeads, shape.HeadDim).ToNative(),
            QueryStart = context.QueryStart.ToNative(),
            SeqLens = context.SequenceLengths.ToNative(),
            StepRows = context.StepRows.ToNative(),
            BlockTable = context.BlockTable.ToNative(),
            Cache = cache,
            Scale = shape.Scale,
            Softcap = shape.SoftCap,
            Window = shape.Window,
            MaxQueryLen = context.MaxQueryLength,
            MaxSeqLen = context.MaxSequenceLength,
            Workspace = context.Workspace.Data,
            WorkspaceBytes = context.Workspace.Bytes,
        };
        context.Device.PagedAttention(ref p);
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
