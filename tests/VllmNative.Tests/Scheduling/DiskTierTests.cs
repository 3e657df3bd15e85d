using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>What requests do that wait for the disk, and to whom.</summary>
public sealed class DiskTierTests : IDisposable
{
    private const int BlockSize = 4;

    // 16 blocks on the device, 12 on the host.
    private readonly SchedulerHarness _harness = new(
        numBlocks: 17, blockSize: BlockSize, maxSeqs: 4, budget: 64, prefixCaching: true, setup: new SchedulerSetup { TierBlocks = 12 }, diskBlocks: 1000);

    private HostTier Tier => _harness.Scheduler.Tier!;

    public void Dispose() => _harness.Dispose();

    [Fact]
    public void A_question_takes_nothing_from_the_host()
    {
        Flood();
        HashSet<int> known = KnownHostBlocks();
        Assert.Equal(Tier.Host.Total, known.Count);
        Request asking = _harness.Add(FakeLanguage.Prompt(500, 41), 1);
        Assert.Null(_harness.Submit());
        Assert.True(asking.InTransfer && asking.AskedDisk);
        Assert.Equal(known, KnownHostBlocks());
        while (asking.InTransfer)
        {
            _harness.Linger(100);
            _harness.Scheduler.TakeDiskResults();
        }

        // The disk had nothing of it, so that nothing made room.
        Assert.Equal(known, KnownHostBlocks());
        Assert.NotNull(_harness.Submit());
        Assert.Equal((RequestStatus.Running, 0), (asking.Status, asking.CachedTokens));
    }

    [Fact]
    public void What_gave_way_everywhere_else_comes_from_disk()
    {
        int[] prompt = FakeLanguage.Prompt(1, 25);
        _harness.Add(prompt, 1);
        _harness.Drain();
        Flood();
        Request again = _harness.Add(prompt, 1);
        _harness.Drain();
        Assert.True(_harness.Scheduler.Disk!.Loaded >= 3 && again.HostCachedTokens >= 12, $"{_harness.Scheduler.Disk.Loaded} blocks came from disk, {again.HostCachedTokens} tokens of them were used");
    }

    [Fact]
    public void What_came_from_disk_leaves_the_host_from_its_end()
    {
        int[] prompt = FakeLanguage.Prompt(1, 25);
        _harness.Add(prompt, 1);
        _harness.Drain();
        Flood();
        Request again = _harness.Add(prompt, 1);
        _harness.Submit();
        while (again.InTransfer)
        {
            _harness.Linger(1);
            _harness.Scheduler.TakeDiskResults();
        }

        // Nobody takes them on to the device.
        _harness.End(again);
        _harness.AssertHostLeavesFromTheEnd(prompt, leastBlocks: 3);
    }

    [Fact]
    public void What_was_written_leaves_the_host_from_its_end()
    {
        int[] prompt = FakeLanguage.Prompt(1, 25);
        _harness.Add(prompt, 1);
        _harness.Drain();
        _harness.Add(FakeLanguage.Prompt(2, 41), 1);
        _harness.Drain();
        _harness.StopDisk();
        _harness.AssertHostLeavesFromTheEnd(prompt, leastBlocks: 5);
    }

    [Fact]
    public void Who_begins_alike_waits_for_the_answer_to_one()
    {
        int[] prompt = FakeLanguage.Prompt(1, 25);
        _harness.Add(prompt, 1);
        _harness.Drain();
        Flood();
        long before = _harness.Scheduler.Disk!.Loaded;
        Request[] alike = [.. Enumerable.Range(0, 3).Select(i => _harness.Add([.. prompt, i], 1))];
        while (alike.All(request => request.Status != RequestStatus.Finished))
        {
            Assert.True(alike.Count(request => request.InTransfer) <= 1, "blocks are fetched for more than one");
            _harness.Linger(1);
            _harness.Turn();
        }

        _harness.Drain();
        Assert.InRange(_harness.Scheduler.Disk.Loaded - before, 1, 6);
        Assert.All(alike, request => Assert.Equal((RequestStatus.Finished, 0), (request.Status, request.Overtaken)));
    }

    [Fact]
    public void What_the_host_has_of_a_beginning_stays_while_the_disk_is_asked_for_the_rest()
    {
        Request asking = _harness.Add(FakeLanguage.Prompt(1, 25), 1);
        int[] blocks = [TakeHostBlock(), TakeHostBlock(), TakeHostBlock()];
        int node = PrefixIndex.None;
        for (int i = 0; i < blocks.Length; i++)
        {
            node = _harness.Prefixes!.AddBehind(asking, node, i);
            Tier.Keep(node, blocks[i]);
        }

        Assert.Null(_harness.Submit());
        Assert.True(asking.InTransfer);
        // Others want all of the tier, and these blocks would be the first to make room.
        List<int> taken = [];
        while (Tier.TryTake(out int block))
        {
            taken.Add(block);
        }

        Assert.Equal(Tier.Host.Total - blocks.Length, taken.Count);
        Assert.Empty(blocks.Intersect(taken));
        taken.ForEach(Tier.GiveBack);
        // When the answer has come they may go.
        while (asking.InTransfer)
        {
            _harness.Linger(100);
            _harness.Scheduler.TakeDiskResults();
        }

        Assert.All(Enumerable.Range(0, Tier.Host.Total), _ => TakeHostBlock());
    }

    [Fact]
    public void Who_waits_for_the_disk_keeps_a_row_and_holds_up_nobody_else()
    {
        Request[] asking = [_harness.Add(FakeLanguage.Prompt(1, 9), 1), _harness.Add(FakeLanguage.Prompt(2, 9), 1), _harness.Add(FakeLanguage.Prompt(3, 9), 1)];
        // Too short for a block that the disk could have.
        Request[] others = [.. Enumerable.Range(0, 3).Select(i => _harness.Add(FakeLanguage.Prompt(10 + i, 3), 2))];
        Assert.Equal(1, _harness.Submit()!.Rows.Count);
        Assert.All(asking, request => Assert.True(request.InTransfer));
        Assert.Equal([RequestStatus.Running, RequestStatus.Waiting, RequestStatus.Waiting], others.Select(request => request.Status));
        _harness.Drain();
        Assert.All(asking.Concat(others), request => Assert.Equal((RequestStatus.Finished, 0), (request.Status, request.Overtaken)));
    }

    // Pushes everything else out of the device, and much out of the host.
    private void Flood()
    {
        for (int i = 0; i < 6; i++)
        {
            _harness.Add(FakeLanguage.Prompt(100 + i, 41), 1);
            _harness.Drain();
            _harness.Linger(20);
        }
    }

    private int TakeHostBlock()
    {
        Assert.True(Tier.TryTake(out int block));
        return block;
    }

    private HashSet<int> KnownHostBlocks()
    {
        PrefixIndex index = _harness.Prefixes!.Index;
        return [.. Enumerable.Range(Tier.Host.First, Tier.Host.Total).Where(block => index.OfHostBlock(block) != PrefixIndex.None)];
    }
}
