using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>How a request makes room: its blocks go to the host, or it is computed again.</summary>
internal sealed class Preemption(PreemptionMode mode, KvCacheManager cache, RunningRequests running, WaitingQueue waiting, SwapSpace? swap, PreemptionCost cost, long blockBytes, StepEventLog events)
{
    private long _count;
    private long _swapOuts;

    /// <summary>How often so far; other threads may read it.</summary>
    internal long Count => Volatile.Read(ref _count);

    /// <summary>How many of them were swaps; other threads may read it.</summary>
    internal long SwapOuts => Volatile.Read(ref _swapOuts);

    /// <summary>Takes the blocks of a running request; it waits to go on.</summary>
    internal void Preempt(Request victim, StepPlan plan)
    {
        Debug.Assert(victim.StepsInFlight == 0, "a request with a step in flight cannot lose its blocks");
        Note(victim);
        if (Swaps(victim))
        {
            Volatile.Write(ref _swapOuts, _swapOuts + 1);
            Stop(victim);
            swap!.SwapOut(victim, plan);
        }
        else
        {
            Restart(victim);
        }
    }

    /// <summary>Takes the blocks of the last of those that wait and hold some.</summary>
    /// <param name="keep">Not from this one.</param>
    /// <param name="behind">Only from those that rank behind this one.</param>
    /// <returns>False when there is none.</returns>
    internal bool TryReclaim(Request? keep = null, Request? behind = null)
    {
        Request? last = null;
        foreach (Request holder in waiting.Holders)
        {
            if (holder != keep && !holder.InTransfer && (behind is null || WaitingQueue.Before(behind, holder)) && (last is null || WaitingQueue.Before(last, holder)))
            {
                last = holder;
            }
        }

        if (last is null)
        {
            return false;
        }

        Note(last);
        Forget(last);
        return true;
    }

    /// <summary>A waiting request gives back the blocks that it holds and is computed again.</summary>
    internal void Forget(Request request)
    {
        waiting.Holders.Remove(request);
        cache.Free(request);
        request.Computed = request.Scheduled = 0;
    }

    /// <summary>A running request gives back all that it has and is computed again.</summary>
    internal void Restart(Request request)
    {
        // First, so that it does not wait as one that holds blocks.
        cache.Free(request);
        request.Computed = request.Scheduled = 0;
        Stop(request);
    }

    private void Note(Request request)
    {
        Volatile.Write(ref _count, _count + 1);
        request.Preemptions++;
        events.Add(new StepEvent(StepEventKind.Preempted, request.Id, request.BlockCount));
    }

    private void Stop(Request request)
    {
        running.Remove(request);
        running.ReleaseRow(request);
        request.Status = RequestStatus.Preempted;
        request.Yields = false;
        waiting.Add(request);
    }

    // Nothing is expected to stay cached: room is short.
    private bool Swaps(Request victim) => swap is not null && mode switch
    {
        PreemptionMode.Swap => swap.Fits(victim),
        PreemptionMode.Auto => cost.ShouldSwap(victim.Scheduled, 0, victim.BlockCount * blockBytes, swap.Fits(victim)),
        _ => false,
    };
}
