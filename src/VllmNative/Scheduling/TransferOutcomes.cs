using VllmNative.Cache;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>What becomes of blocks whose copies between device and host have happened, or failed.</summary>
internal sealed class TransferOutcomes(BlockTransfers transfers, SwapSpace? swap, HostTier? tier, WaitingQueue waiting)
{
    /// <summary>Copies of all steps up to this one have happened.</summary>
    internal void Take(long stepId)
    {
        while (transfers.TryTake(stepId, out Transfer transfer))
        {
            switch (transfer.Kind)
            {
                case TransferKind.SwapOut:
                    swap!.SwappedOutNow(transfer);
                    break;
                case TransferKind.SwapIn:
                    swap!.SwappedInNow(transfer);
                    break;
                case TransferKind.Offload:
                    tier!.OffloadedNow(transfer);
                    break;
                default:
                    tier!.OnloadedNow(transfer);
                    break;
            }

            if (transfer.Request is { } request)
            {
                request.Retracted = false;
                if (request.BlockCount == 0)
                {
                    waiting.Holders.Remove(request);
                }
            }
        }
    }
}
