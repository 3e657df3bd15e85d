namespace VllmNative.Tensors;

/// <summary>A block to copy. Crosses the C ABI as two ints.</summary>
/// <param name="Source">Block id in the pool that is read.</param>
/// <param name="Destination">Block id in the pool that is written.</param>
internal readonly record struct BlockPair(int Source, int Destination);
