using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Self-attention over the paged KV cache: merged projection; optional q/k norm, rotation and cache write in one operation; attention; output projection.</summary>
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
        ref readonly var cache = ref context.Kv.ViewOf(layer);
        context.Device.RopeCacheWrite(
            new RopeCacheWriteInputs
            {
                Query = q,
                Key = k,
                Value = v,
                QueryNorm = qNorm?.Weight ?? default,
                KeyNorm = kNorm?.Weight ?? default,
                Eps = (qNorm ?? kNorm)?.Eps ?? 0,
                CosSin = rotary.Table(context.NumTokens),
                Style = RotaryEmbedding.Style,
                SlotMapping = context.SlotMapping,
            },
            cache);
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
                MaxPrefillSequenceLength = context.MaxPrefillSequenceLength,
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
