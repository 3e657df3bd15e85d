using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>Which blocks hold a request's K/V: grows block tables, frees them, and writes the changes into the plan.</summary>
internal sealed class KvCacheManager(BlockPool pool, int blockSize)
{
    // One KV group today; sliding-window and hybrid models bring more.
    private const int Group = 0;

    internal int BlockSize => blockSize;

    internal BlockPool Pool => pool;

    /// <summary>Most tokens one request can hold when it has the pool for itself.</summary>
    internal long MaxTokensOfOneRequest => (long)(pool.Total - 1) * blockSize;

    internal int BlocksFor(int tokens) => (tokens + blockSize - 1) / blockSize;

    /// <summary>Gives the request blocks for its first <paramref name="tokens"/> tokens; false, and no change, when the pool cannot.</summary>
    internal bool TryGrow(Request request, int tokens, StepPlan plan)
    {
        int needed = BlocksFor(tokens);
        if (needed - request.BlockCount > pool.Free)
        {
            return false;
        }

        while (request.BlockCount < needed)
        {
            pool.TryTake(out int block);
            plan.TableUpdates.Add(new TableUpdate(Group, request.Row, request.BlockCount, block));
            request.Blocks[request.BlockCount++] = block;
        }

        return true;
    }

    /// <summary>Gives back all blocks, last first, so that the end of a sequence is reused before its beginning.</summary>
    internal void Free(Request request)
    {
        while (request.BlockCount > 0)
        {
            pool.Release(request.Blocks[--request.BlockCount]);
        }
    }
}
