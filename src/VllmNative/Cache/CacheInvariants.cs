using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>What must hold between steps; a violation means that the bookkeeping is broken.</summary>
internal static class CacheInvariants
{
    /// <exception cref="InvalidOperationException">The first invariant that is broken.</exception>
    internal static void Check(BlockPool pool, IEnumerable<Request> owners, PrefixCache? prefixes = null, IEnumerable<int>? otherReferences = null)
    {
        var references = new int[pool.Total];
        references[BlockPool.NullBlock] = 1;
        foreach (int block in owners.SelectMany(request => request.Blocks.Take(request.BlockCount)).Concat(otherReferences ?? []))
        {
            references[block]++;
        }

        int free = CheckList(pool, pool.FreeBlocks(), indexed: false);
        int cached = CheckList(pool, pool.CachedBlocks(), indexed: true);
        Require(free + cached == pool.Free, $"the lists have {free} + {cached} blocks, the count says {pool.Free}");
        Require(cached == pool.Cached, $"the cached list has {cached} blocks, the count says {pool.Cached}");
        int used = 0;
        for (int block = 0; block < pool.Total; block++)
        {
            Require(pool.ReferencesOf(block) == references[block], $"block {block} has {references[block]} owners, the count says {pool.ReferencesOf(block)}");
            used += block != BlockPool.NullBlock && references[block] > 0 ? 1 : 0;
            CheckNode(pool, prefixes, block);
        }

        Require(free + cached + used + 1 == pool.Total, $"free {free} + cached {cached} + used {used} + null block != total {pool.Total}");
        if (prefixes is not null)
        {
            CheckCount(pool, prefixes.Index);
        }
    }

    // A node lives by its blocks.
    private static void CheckCount(BlockPool pool, PrefixIndex index)
    {
        var seen = new bool[index.Capacity];
        int nodes = 0;
        for (int i = 0; i < index.Capacity; i++)
        {
            // Capacity is what both pools have together.
            int node = i < pool.Total ? index.OfDeviceBlock(i) : index.OfHostBlock(i - pool.Total);
            nodes += node != PrefixIndex.None && !seen[node] ? 1 : 0;
            seen[Math.Max(node, 0)] |= node != PrefixIndex.None;
        }

        Require(nodes == index.Count, $"{nodes} nodes have blocks, the index counts {index.Count}");
    }

    private static int CheckList(BlockPool pool, IEnumerable<int> blocks, bool indexed)
    {
        int count = 0;
        foreach (int block in blocks)
        {
            count++;
            Require(count <= pool.Total, "a list of blocks is a circle");
            Require(pool.ReferencesOf(block) == 0, $"block {block} stands in a list and has {pool.ReferencesOf(block)} owners");
            Require(pool.IsIndexed(block) == indexed, $"block {block} is {(indexed ? "cached but not" : "free but")} in the index");
        }

        return count;
    }

    private static void CheckNode(BlockPool pool, PrefixCache? prefixes, int block)
    {
        int node = prefixes?.Index.OfDeviceBlock(block) ?? PrefixIndex.None;
        Require(pool.IsIndexed(block) == (node != PrefixIndex.None), $"block {block} is {(node == PrefixIndex.None ? "not " : "")}in the index, the pool says otherwise");
        if (node == PrefixIndex.None)
        {
            return;
        }

        PrefixIndex index = prefixes!.Index;
        Require(index.DeviceBlockOf(node) == block, $"block {block} belongs to node {node}, which has block {index.DeviceBlockOf(node)}");
        RequireFound(index, node, $"block {block}");
    }

    /// <summary>What the index knows can be found by what it holds.</summary>
    internal static void RequireFound(PrefixIndex index, int node, string block)
    {
        ReadOnlySpan<int> tokens = index.TokensOf(node);
        Require(index.Find(index.ParentOf(node), TokenHash.Of(tokens), tokens) == node, $"node {node} of {block} cannot be found");
    }

    internal static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new InvalidOperationException("KV cache invariant broken: " + message);
        }
    }
}
