namespace VllmNative.Tensors;

/// <summary>What a merged projection's heads pass through on their way to attention, beside the KV cache.</summary>
internal readonly ref struct RopeCacheWriteInputs
{
    /// <summary>[T, query heads, dim]; normalised and rotated in place.</summary>
    internal required Tensor Query { get; init; }

    /// <summary>[T, KV heads, dim]; only read: what is normalised and rotated goes to the cache.</summary>
    internal required Tensor Key { get; init; }

    /// <summary>[T, KV heads, dim]; only read.</summary>
    internal required Tensor Value { get; init; }

    /// <summary>[dim], or absent: no norm.</summary>
    internal Tensor QueryNorm { get; init; }

    /// <summary>[dim], or absent: no norm.</summary>
    internal Tensor KeyNorm { get; init; }

    /// <summary>Of both norms.</summary>
    internal float Eps { get; init; }

    /// <summary>[T, rotated dimensions].</summary>
    internal required Tensor CosSin { get; init; }

    internal required RopeStyle Style { get; init; }

    /// <summary>[T], slots of this layer's KV group.</summary>
    internal required Tensor SlotMapping { get; init; }
}
