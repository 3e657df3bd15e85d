namespace VllmNative.Tensors;

/// <summary>
/// Layers whose K/V share one block table: a block holds the same tokens for all of them. Layout of a block:
/// [layer in group][K, then V][kv head][slot][dim], so that a block is one contiguous piece for copy and swap.
/// </summary>
/// <param name="Layers">How many layers.</param>
/// <param name="BlockSize">Tokens in a block.</param>
/// <param name="KvHeads">KV heads.</param>
/// <param name="KeyDim">Elements of a key head.</param>
/// <param name="ValueDim">Elements of a value head.</param>
/// <param name="Type">Element type of the cache.</param>
internal sealed record KvGroup(int Layers, int BlockSize, int KvHeads, int KeyDim, int ValueDim, DataType Type)
{
    /// <summary>Each layer's scales of an fp8 cache; empty: all are 1.</summary>
    internal IReadOnlyList<KvScales> Scales { get; init; } = [];

    internal long KeyElements => (long)KvHeads * BlockSize * KeyDim;

    internal long ValueElements => (long)KvHeads * BlockSize * ValueDim;

    internal KvScales ScalesOf(int layer) => Scales.Count == 0 ? KvScales.One : Scales[layer];

    /// <summary>Bytes of a block, all layers.</summary>
    internal long BlockBytes => Layers * (KeyElements + ValueElements) * Type.Size();
}
