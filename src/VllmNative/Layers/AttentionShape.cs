namespace VllmNative.Layers;

/// <summary>The geometry of an attention layer.</summary>
/// <param name="QueryHeads">Query heads.</param>
/// <param name="KvHeads">KV heads, a divisor of the query heads.</param>
/// <param name="HeadDim">Elements of a head.</param>
/// <param name="Window">Tokens seen, the token itself included; 0 = all.</param>
/// <param name="Scale">Factor on q·k; 0 = 1/sqrt(head dim).</param>
/// <param name="SoftCap">0 = off.</param>
internal readonly record struct AttentionShape(int QueryHeads, int KvHeads, int HeadDim, int Window, float Scale, float SoftCap)
{
    internal int QuerySize => QueryHeads * HeadDim;

    internal int KvSize => KvHeads * HeadDim;

    /// <summary>Columns of the merged q, k, v projection.</summary>
    internal int MergedSize => QuerySize + (2 * KvSize);
}
