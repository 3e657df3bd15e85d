using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>
/// What a failed computation means for others: K/V that it wrote is wrong or unknown, so nobody finds it any more, and whoever built on
/// it is planned again from there, at once or when its steps in flight have returned.
/// </summary>
/// <param name="cache">Knows who shares blocks.</param>
/// <param name="preemption">Takes requests back to the waiting queue.</param>
/// <param name="owners">Everything that holds blocks.</param>
internal sealed class Retraction(KvCacheManager cache, Preemption preemption, Func<IEnumerable<Request>> owners)
{
    /// <summary>These failed. They are not planned again themselves because others built on the same blocks.</summary>
    internal void Taint(params Request[] failed)
    {
        Request[] added = [.. failed.Where(request => !request.Retracted)];
        Array.ForEach(added, request => request.Retracted = true);
        Array.ForEach(failed, request => Taint(request, request.BorrowedBlocks));
        Array.ForEach(added, request => request.Retracted = false);
    }

    /// <summary>Nobody knows what any block holds: all are planned again from their beginning.</summary>
    internal void RetractAll()
    {
        foreach (Request request in Others(than: null).Where(request => request.BlockCount > 0).ToArray())
        {
            Retract(request, 0);
        }
    }

    /// <summary>Plans a retracted request again, none of whose steps is in flight any more.</summary>
    internal void Requeue(Request request)
    {
        request.Retracted = false;
        if (request.Status == RequestStatus.Running)
        {
            preemption.Restart(request);
        }
        else
        {
            preemption.Forget(request);
        }
    }

    // Also those that have ended and hold blocks until their steps return: what these blocks hold must not be found either.
    private IEnumerable<Request> Others(Request? than) => owners().Where(other => other != than && !other.Retracted);

    private void Taint(Request request, int fromBlock)
    {
        for (int i = fromBlock; i < request.BlockCount; i++)
        {
            int block = request.Blocks[i];
            cache.Prefixes?.Forget(block);
            if (cache.Pool.ReferencesOf(block) > 1)
            {
                foreach (Request other in Others(request).ToArray())
                {
                    int at = other.Blocks.AsSpan(0, other.BlockCount).IndexOf(block);
                    if (at >= 0)
                    {
                        Retract(other, at);
                    }
                }
            }
        }

        // Of a begun block that was shared one of the two has a copy by now.
        foreach (Request fork in Others(request).Where(other => other.ForkedFrom == request && other.ForkedTokens > fromBlock * cache.BlockSize).ToArray())
        {
            Retract(fork, fromBlock);
        }
    }

    private void Retract(Request request, int fromBlock)
    {
        request.Retracted = true;
        Taint(request, fromBlock);
        if (request.StepsInFlight == 0 && !request.InTransfer)
        {
            Debug.Assert(request.Status != RequestStatus.Finished, "a request that has ended holds blocks for steps or copies under way only");
            Requeue(request);
        }
    }
}
