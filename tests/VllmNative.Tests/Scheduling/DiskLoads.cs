using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>
/// Who waits for the disk, and the host blocks that nobody else accounts for: those are for what the disk was found to have. A question takes
/// none; answers take and give.
/// </summary>
internal sealed class DiskLoads(Scheduler scheduler, HostTier tier, int blockSize)
{
    private readonly HashSet<Request> _waiting = [];
    private HashSet<int> _promised = [];

    internal bool Any => _waiting.Count > 0;

    /// <summary>Between questions and answers.</summary>
    internal void CheckUnchanged() => Assert.Equal(_promised.Order(), Unaccounted().Order());

    /// <summary>A step was planned: requests may have asked.</summary>
    internal void CheckAsked()
    {
        Request[] asking = [.. scheduler.Waiting.Where(request => request.InTransfer && !scheduler.Transfers.UnderWay.Any(transfer => transfer.Request == request))];
        foreach (Request request in asking.Where(_waiting.Add))
        {
            Assert.True(request.AskedDisk && request.BlockCount == 0, $"request {request.Id} waits for nothing");
        }

        CheckUnchanged();
    }

    /// <summary>Answers were taken; those whose requests have ended count too.</summary>
    internal void CheckAnswered()
    {
        _waiting.RemoveWhere(request => !request.InTransfer);
        _promised = Unaccounted();
        int most = _waiting.Sum(request => Math.Min((request.Length - 1) / blockSize, tier.Host.Total / 2));
        Assert.True(_promised.Count <= most, $"{_waiting.Count} requests wait for {_promised.Count} blocks from disk, at most {most}");
    }

    private HashSet<int> Unaccounted() => HostInvariants.CheckTier(tier, scheduler.Cache.Prefixes!.Index, scheduler.Transfers.UnderWay);
}
