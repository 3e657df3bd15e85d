namespace VllmNative.Cache.Eviction;

/// <summary>
/// Which of the cached blocks that nobody owns gives way first. A sequence's last blocks must not outlive its first ones: they
/// can only be found through them. A sequence is released last block first, and no block is worth less than those behind it.
/// </summary>
internal abstract class EvictionOrder
{
    internal abstract int Count { get; }

    /// <summary>The block that gives way next; -1 when there is none.</summary>
    internal abstract int First { get; }

    /// <summary>A sequence is released: the blocks that are added next belong to it, the last one first.</summary>
    internal virtual void BeginChain()
    {
    }

    /// <summary>A cached block has lost its last owner.</summary>
    /// <param name="block">The block.</param>
    /// <param name="chainBlocks">Blocks of the sequence that it was part of: what is lost, in the end, when it goes.</param>
    internal abstract void Add(int block, int chainBlocks);

    /// <summary>As <see cref="Add"/>, of a block that has other owners still: it comes later, and is worth no less then than those behind it.</summary>
    /// <inheritdoc cref="Add" path="/param"/>
    internal virtual void NoteKept(int block, int chainBlocks)
    {
    }

    /// <summary>Takes a block out: it was hit, or it leaves the cache.</summary>
    internal abstract void Remove(int block);

    /// <summary>A request found the block in the cache.</summary>
    internal virtual void NoteHit(int block)
    {
    }

    /// <summary>The block's content is another from now on.</summary>
    internal virtual void NoteNew(int block)
    {
    }

    /// <summary>The blocks that give way next, in order; they stay.</summary>
    /// <returns>How many were written.</returns>
    internal abstract int Peek(Span<int> blocks);

    internal abstract IEnumerable<int> Blocks();
}
