using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>What must hold for host blocks between steps: each is free, or one swapped request's, or the index's, or one copy's under way.</summary>
internal static class HostInvariants
{
    /// <summary>Checks the blocks of swapped requests.</summary>
    /// <exception cref="InvalidOperationException">The first invariant that is broken.</exception>
    internal static void CheckSwap(HostBlockPool swap, IEnumerable<Request> owners)
    {
        var seen = new bool[swap.Total];
        CountFree(swap, seen);
        foreach (Request request in owners)
        {
            foreach (int block in request.HostBlocks.AsSpan(0, request.HostBlockCount))
            {
                See(swap, seen, block, $"request {request.Id}");
            }
        }

        int lost = Array.IndexOf(seen, false);
        CacheInvariants.Require(lost < 0, $"host block {swap.First + lost} is neither free nor a swapped request's");
    }

    /// <summary>Checks the blocks of the prefix cache.</summary>
    /// <param name="tier">The host's tier.</param>
    /// <param name="index">What it holds.</param>
    /// <param name="transfers">Copies under way.</param>
    /// <returns>Blocks that none of these accounts for: what is to be loaded from disk goes there, nothing else does.</returns>
    /// <exception cref="InvalidOperationException">The first invariant that is broken.</exception>
    internal static HashSet<int> CheckTier(HostTier tier, PrefixIndex index, IEnumerable<Transfer> transfers)
    {
        HostBlockPool host = tier.Host;
        var seen = new bool[host.Total];
        CountFree(host, seen);
        // What comes back from the host stays the index's meanwhile.
        foreach (Transfer transfer in transfers.Where(transfer => transfer.Kind == TransferKind.Offload))
        {
            foreach (int block in transfer.HostBlocks.AsSpan(0, transfer.Count))
            {
                See(host, seen, block, "a copy");
            }
        }

        for (int block = host.First; block < host.First + host.Total; block++)
        {
            int node = index.OfHostBlock(block);
            if (node != PrefixIndex.None)
            {
                See(host, seen, block, $"node {node}");
                CacheInvariants.Require(index.HostBlockOf(node) == block, $"host block {block} belongs to node {node}, which has host block {index.HostBlockOf(node)}");
                CacheInvariants.RequireFound(index, node, $"host block {block}");
            }
        }

        return [.. Enumerable.Range(0, host.Total).Where(slot => !seen[slot]).Select(slot => host.First + slot)];
    }

    private static void CountFree(HostBlockPool host, bool[] seen)
    {
        foreach (int block in host.FreeBlocks)
        {
            See(host, seen, block, "the free ones");
        }
    }

    private static void See(HostBlockPool host, bool[] seen, int block, string owner)
    {
        int slot = block - host.First;
        CacheInvariants.Require((uint)slot < (uint)seen.Length, $"host block {block} of {owner} lies outside its pool");
        CacheInvariants.Require(!seen[slot], $"host block {block} belongs to {owner} and to somebody else");
        seen[slot] = true;
    }
}
