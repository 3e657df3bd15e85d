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
    internal long KeyElements => (long)KvHeads * BlockSize * KeyDim;

    internal long ValueElements => (long)KvHeads * BlockSize * ValueDim;

    /// <summary>Bytes of a block, all layers.</summary>
    internal long BlockBytes => Layers * (KeyElements + ValueElements) * Type.Size();
}
