using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>What must hold between steps; a violation means that the bookkeeping is broken.</summary>
internal static class CacheInvariants
{
    /// <exception cref="InvalidOperationException">The first invariant that is broken.</exception>
    internal static void Check(BlockPool pool, IEnumerable<Request> owners)
    {
        var references = new int[pool.Total];
        references[BlockPool.NullBlock] = 1;
        foreach (Request request in owners)
        {
            for (int i = 0; i < request.BlockCount; i++)
            {
                references[request.Blocks[i]]++;
            }
        }

        int free = 0;
        foreach (int block in pool.FreeBlocks())
        {
            free++;
            Require(pool.ReferencesOf(block) == 0, $"block {block} is free and has {pool.ReferencesOf(block)} owners");
            Require(free <= pool.Total, "the free list is a circle");
        }

        Require(free == pool.Free, $"the free list has {free} blocks, the count says {pool.Free}");
        int used = 0;
        for (int block = 0; block < pool.Total; block++)
        {
            Require(pool.ReferencesOf(block) == references[block], $"block {block} has {references[block]} owners, the count says {pool.ReferencesOf(block)}");
            used += block != BlockPool.NullBlock && references[block] > 0 ? 1 : 0;
        }

        Require(free + used + 1 == pool.Total, $"free {free} + used {used} + null block != total {pool.Total}");
    }

    private static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new InvalidOperationException("KV cache invariant broken: " + message);
        }
    }
}
