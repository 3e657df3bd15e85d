using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>Host memory for the K/V of preempted requests: where it goes when a request is swapped out, and back.</summary>
internal sealed class SwapSpace(HostBlockPool host, KvCacheManager cache, BlockTransfers transfers, StepEventLog events)
{
    private int _comingFree;
    private long _swappedOut;
    private long _swappedIn;

    internal HostBlockPool Host => host;

    /// <summary>Device blocks that are free as soon as their copies have happened.</summary>
    internal int ComingFree => _comingFree;

    /// <summary>Requests that went out and came back so far; other threads may read them.</summary>
    internal long SwappedOut => Volatile.Read(ref _swappedOut);

    internal long SwappedIn => Volatile.Read(ref _swappedIn);

    internal bool Fits(Request request) => request.BlockCount <= host.Free;

    /// <summary>Copies the request's blocks to the host; they come free when that has happened.</summary>
    internal void SwapOut(Request request, StepPlan plan)
    {
        int count = request.BlockCount;
        if (request.HostBlocks.Length < request.Blocks.Length)
        {
            request.HostBlocks = new int[request.Blocks.Length];
        }

        for (int i = 0; i < count; i++)
        {
            request.HostBlocks[i] = host.Take();
        }

        request.HostBlockCount = count;
        request.InTransfer = request.SwapsOut = true;
        _comingFree += count;
        events.Add(new StepEvent(StepEventKind.SwappedOut, request.Id, count));
        transfers.Begin(plan, new Transfer(TransferKind.SwapOut, request, request.Blocks, request.HostBlocks, count));
    }

    /// <summary>The copies to the host have happened, or failed.</summary>
    internal void SwappedOutNow(Transfer transfer)
    {
        Request request = transfer.Request!;
        request.InTransfer = request.SwapsOut = false;
        _comingFree -= transfer.Count;
        cache.Free(request);
        if (transfer.Failed || request.Retracted || request.Status == RequestStatus.Finished)
        {
            Drop(request);
        }
        else
        {
            Volatile.Write(ref _swappedOut, _swappedOut + 1);
        }
    }

    /// <summary>Takes device blocks for a request that is swapped out, and copies its K/V back; false when the pool cannot.</summary>
    /// <param name="request">The request.</param>
    /// <param name="plan">Gets the copies.</param>
    /// <param name="reserve">Blocks that stay free.</param>
    internal bool TrySwapIn(Request request, StepPlan plan, int reserve)
    {
        int count = request.HostBlockCount;
        // What it computes next needs room too, or it would be swapped out again at once.
        if (Math.Max(count, cache.BlocksFor(request.Length)) > cache.Pool.Free - reserve)
        {
            return false;
        }

        while (request.BlockCount < count)
        {
            cache.TryTake(out int block);
            request.Blocks[request.BlockCount++] = block;
        }

        request.InTransfer = true;
        events.Add(new StepEvent(StepEventKind.SwappedIn, request.Id, count));
        transfers.Begin(plan, new Transfer(TransferKind.SwapIn, request, request.Blocks, request.HostBlocks, count));
        return true;
    }

    /// <summary>The copies to the device have happened, or failed.</summary>
    internal void SwappedInNow(Transfer transfer)
    {
        Request request = transfer.Request!;
        request.InTransfer = false;
        bool lost = transfer.Failed || request.Retracted || request.Status == RequestStatus.Finished;
        Drop(request, computed: !lost);
        if (lost)
        {
            cache.Free(request);
        }
        else
        {
            // Its blocks are new, so they are made known anew.
            PrefixCache.Restart(request);
            cache.Register(request);
            Volatile.Write(ref _swappedIn, _swappedIn + 1);
        }
    }

    /// <summary>Gives up what the host has of a request; it is computed again unless the device has it.</summary>
    internal void Drop(Request request, bool computed = false)
    {
        while (request.HostBlockCount > 0)
        {
            host.Release(request.HostBlocks[--request.HostBlockCount]);
        }

        if (!computed)
        {
            request.Computed = request.Scheduled = 0;
        }
    }
}
