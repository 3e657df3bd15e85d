using VllmNative.Cache;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>What waiting requests find in the prefix cache, and how many blocks they need besides.</summary>
internal sealed class PrefixLookUps(KvCacheManager cache)
{
    private readonly int[] _nodes = new int[cache.Prefixes?.Index.Capacity ?? 0];

    /// <summary>Whether the request, which waits, begins with blocks that are known, if there are any.</summary>
    internal static bool AppliesTo(Request request) =>
        request.BlockCount == 0 && request.HostBlockCount == 0 && request.PrefixRoot != 0 && !request.Scheduling.SkipReadingPrefixCache;

    /// <summary>
    /// Blocks that the request needs at least, by what it found last. A look-up of a long prompt takes microseconds: one that did not fit is
    /// looked up again only when it may. 0 = nobody knows.
    /// </summary>
    internal int LeastNeeded(Request request) => request.NeededBlocks - (int)Math.Min(cache.Gains - request.NeededAtGains, request.NeededBlocks);

    /// <summary>Looks a request up.</summary>
    /// <param name="request">One to which this applies.</param>
    /// <param name="hits">How many of the first nodes have blocks on the device.</param>
    /// <param name="needed">Blocks to be taken from the pool, hits that nobody owns among them: those count as free until they are taken.</param>
    /// <returns>The nodes, in order; they last until the next look-up.</returns>
    internal ReadOnlySpan<int> Find(Request request, out int hits, out int needed)
    {
        Span<int> known = _nodes.AsSpan(0, cache.Prefixes!.Match(request, _nodes));
        needed = cache.BlocksToGrow(request, request.Length);
        for (hits = 0; hits < known.Length && cache.Prefixes.Index.DeviceBlockOf(known[hits]) is var block and not PrefixIndex.None; hits++)
        {
            needed -= cache.Pool.ReferencesOf(block) == 0 ? 0 : 1;
        }

        (request.NeededBlocks, request.NeededAtGains) = (needed, cache.Gains);
        return known;
    }
}
