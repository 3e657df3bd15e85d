using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>
/// Copies of blocks between device and host that steps have asked for and that have not happened yet. They happen in the
/// order in which they were asked for; until then both blocks of a copy belong to it.
/// </summary>
internal sealed class BlockTransfers
{
    private readonly Queue<Transfer> _underWay = new();

    /// <summary>Blocks that were copied so far, in either direction; other threads may read it.</summary>
    internal long BlocksMoved { get; private set; }

    internal bool Any => _underWay.Count > 0;

    /// <summary>For invariant checks.</summary>
    internal IEnumerable<Transfer> UnderWay => _underWay;

    /// <summary>Asks for a copy with this step.</summary>
    internal void Begin(StepPlan plan, Transfer transfer)
    {
        for (int i = 0; i < transfer.Count; i++)
        {
            plan.BlockSwaps.Add(new BlockSwap(transfer.DeviceBlocks[i], transfer.HostBlocks[i], transfer.ToHost));
        }

        transfer.StepId = plan.StepId;
        _underWay.Enqueue(transfer);
    }

    /// <summary>The next transfer that has happened, though it may have failed; false when there is none.</summary>
    /// <param name="done">All transfers of steps up to this one have happened.</param>
    /// <param name="transfer">No longer under way; the blocks are the caller's to release.</param>
    internal bool TryTake(long done, out Transfer transfer)
    {
        if (!_underWay.TryPeek(out transfer!) || transfer.StepId > done)
        {
            return false;
        }

        _underWay.Dequeue();
        BlocksMoved += transfer.Failed ? 0 : transfer.Count;
        return true;
    }

    /// <summary>A step failed: nothing that it was to copy can be relied upon. It may be under way all the same.</summary>
    internal void Fail(long stepId)
    {
        foreach (Transfer transfer in _underWay)
        {
            transfer.Failed |= transfer.StepId == stepId;
        }
    }
}
