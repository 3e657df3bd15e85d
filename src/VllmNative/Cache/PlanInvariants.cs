using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>What must hold for the blocks that a planned step writes; a violation means that somebody reads there what is not his.</summary>
internal static class PlanInvariants
{
    /// <param name="plan">As the scheduler has just left it.</param>
    /// <param name="requestAt">Who holds a row.</param>
    /// <param name="owners">Everything that holds blocks.</param>
    /// <param name="cache">Whose blocks.</param>
    /// <exception cref="InvalidOperationException">The first invariant that is broken.</exception>
    internal static void Check(StepPlan plan, Func<int, Request> requestAt, IEnumerable<Request> owners, KvCacheManager cache)
    {
        Request[] all = [.. owners];
        foreach (StepRow row in plan.Rows.Span)
        {
            Request request = requestAt(row.Row);
            int first = row.SequenceLength - row.QueryLength;
            for (int at = first / cache.BlockSize; at * cache.BlockSize < row.SequenceLength; at++)
            {
                bool fills = (at + 1) * cache.BlockSize <= row.SequenceLength;
                CheckOwners(request, at, fills, all, cache.Pool);
                CheckNode(request, at, fills, cache);
            }
        }
    }

    // Who borrows the block with this very step reads what the row fills, which comes first; before it is full nobody finds it.
    private static void CheckOwners(Request request, int at, bool fills, Request[] owners, BlockPool pool)
    {
        int block = request.Blocks[at];
        int borrowers = !fills || !pool.IsIndexed(block) ? 0 : owners.Count(other => other != request && other.BorrowedBlocks > at && other.BlockCount > at && other.Blocks[at] == block);
        CacheInvariants.Require(
            pool.ReferencesOf(block) == 1 + borrowers,
            $"request {request.Id} writes block {block}, which has {pool.ReferencesOf(block)} owners and {borrowers} that wait for what is written");
    }

    private static void CheckNode(Request request, int at, bool fills, KvCacheManager cache)
    {
        int block = request.Blocks[at];
        int node = cache.Prefixes?.Index.OfDeviceBlock(block) ?? PrefixIndex.None;
        if (node == PrefixIndex.None)
        {
            return;
        }

        PrefixIndex index = cache.Prefixes!.Index;
        CacheInvariants.Require(fills, $"request {request.Id} writes block {block}, which is not full afterwards and is in the index");
        CacheInvariants.Require(Holds(node, at), $"request {request.Id} writes block {block}, which the index knows as something else");
        // Behind a reset, and where blocks before it are gone, a node has no path: nobody comes to it.
        if (index.TryPathOf(node, out int[] path, out PrefixRoot? root))
        {
            CacheInvariants.Require(
                path.Length == at + 1 && root!.Id == request.PrefixRoot && Enumerable.Range(0, at).All(i => Holds(path[i], i)),
                $"request {request.Id} writes block {block}, which the index knows behind another beginning");
        }

        bool Holds(int known, int i) =>
            (i + 1) * cache.BlockSize <= request.Length && index.TokensOf(known).SequenceEqual(request.Tokens.Span.Slice(i * cache.BlockSize, cache.BlockSize));
    }
}
