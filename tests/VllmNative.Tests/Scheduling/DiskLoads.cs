using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Who waits for the disk, and the host blocks that nobody else accounts for: the one explains the other, and only a question or an answer changes either.</summary>
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
        int wanted = 0;
        foreach (Request request in asking.Where(_waiting.Add))
        {
            Assert.True(request.AskedDisk && request.BlockCount == 0, $"request {request.Id} waits for nothing");
            wanted += Math.Min((request.Length - 1) / blockSize, tier.Host.Total / 2);
        }

        HashSet<int> promised = Unaccounted();
        Assert.Superset(_promised, promised);
        Assert.InRange(promised.Count - _promised.Count, wanted == 0 ? 0 : 1, wanted);
        _promised = promised;
    }

    /// <summary>Answers were taken; those whose requests have ended count too.</summary>
    internal void CheckAnswered()
    {
        _waiting.RemoveWhere(request => !request.InTransfer);
        HashSet<int> promised = Unaccounted();
        Assert.Subset(_promised, promised);
        Assert.True(promised.Count >= _waiting.Count && (Any || promised.Count == 0), $"{_waiting.Count} requests wait for {promised.Count} blocks from disk");
        _promised = promised;
    }

    private HashSet<int> Unaccounted() => HostInvariants.CheckTier(tier, scheduler.Cache.Prefixes!.Index, scheduler.Transfers.UnderWay);
}
