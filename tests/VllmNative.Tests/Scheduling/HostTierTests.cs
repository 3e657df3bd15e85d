using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Requests whose beginnings only the host has, and how many blocks they hold for that.</summary>
public sealed class HostTierTests
{
    private const int Prompts = 4;

    [Fact]
    public void Blocks_are_fetched_for_no_more_requests_than_there_are_rows()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2);
        Request[] requests = [.. Enumerable.Range(0, Prompts).Select(i => harness.Add([.. PromptOf(i), 1], 2))];
        harness.Submit();
        Assert.Equal([true, true, false, false], requests.Select(request => request.InTransfer));
        harness.Drain();
        Assert.All(requests, request => Assert.Equal((RequestStatus.Finished, 8, 8), (request.Status, request.CachedTokens, request.HostCachedTokens)));
    }

    [Fact]
    public void What_one_fetches_others_share()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 4);
        long before = harness.Scheduler.Tier!.Onloaded;
        Request[] requests = [.. Enumerable.Range(0, 4).Select(i => harness.Add([.. PromptOf(0), 1, i], 2))];
        StepPlan plan = harness.Submit()!;
        Assert.Equal(2, plan.BlockSwaps.Count);
        Assert.Equal([true, false, false, false], requests.Select(request => request.InTransfer));
        harness.Collect();
        harness.Submit();
        Assert.All(requests, request => Assert.Equal((RequestStatus.Running, 8), (request.Status, request.CachedTokens)));
        Assert.All(requests, request => Assert.Equal(requests[0].Blocks[..2], request.Blocks[..2]));
        harness.Drain();
        Assert.Equal(2, harness.Scheduler.Tier.Onloaded - before);
        // Who waited for the first was not overtaken.
        Assert.All(requests, request => Assert.Equal(0, request.Overtaken));
    }

    [Fact]
    public void A_reset_forgets_what_is_being_fetched()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2, stepsInFlight: 2);
        Request fetching = harness.Add([.. PromptOf(0), 1], 2);
        harness.Submit();
        Assert.True(fetching.InTransfer);
        harness.ResetPrefixCache();
        // It is still read, and nobody else shall find it.
        Request alike = harness.Add([.. PromptOf(0), 1], 2);
        harness.Submit();
        Assert.Equal((RequestStatus.Running, 0), (alike.Status, alike.CachedTokens));
        harness.Drain();
        Assert.Equal((RequestStatus.Finished, 8), (fetching.Status, fetching.CachedTokens));
        harness.ResetPrefixCache();
        Assert.Equal((0, 0), (harness.Prefixes!.Index.Count, harness.Scheduler.Tier!.Host.Used));
    }

    [Fact]
    public void What_was_fetched_across_a_reset_is_its_request_s_alone()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2);
        Request fetching = harness.Add([.. PromptOf(0), 1], 2);
        harness.Submit();
        harness.ResetPrefixCache();
        harness.Collect();
        harness.Submit();
        Assert.Equal((RequestStatus.Running, 8), (fetching.Status, fetching.CachedTokens));
        Assert.All(fetching.Blocks[..2], block => Assert.False(harness.Pool.IsIndexed(block)));
    }

    [Fact]
    public void Copies_to_the_host_cost_nobody_its_place()
    {
        // 64 blocks of one token: 32 of four prompts, and nearly all others hold what has ended, which is copied before it gives way.
        using var harness = new SchedulerHarness(numBlocks: 65, blockSize: 1, prefixCaching: true, setup: new SchedulerSetup { TierBlocks = 80 });
        harness.Add(promptLength: 30, maxTokens: 1);
        harness.Drain();
        Request[] requests = [.. Enumerable.Range(0, 4).Select(_ => harness.Add(promptLength: 8, maxTokens: 8))];
        Assert.Equal(30, harness.Step().BlockSwaps.Count);
        harness.Drain();
        Assert.All(requests, request => Assert.Equal((0, FinishReason.Length), (request.Preemptions, SchedulerHarness.StateOf(request).Finish)));
    }

    [Fact]
    public void What_follows_on_what_was_fetched_across_a_reset_is_not_found_behind_what_was_computed_since()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2, stepsInFlight: 2);
        Request fetching = harness.Add([.. PromptOf(0), 1], 9);
        harness.Submit();
        harness.ResetPrefixCache();
        harness.Add([.. PromptOf(0), 2], 1);
        harness.Drain();
        Request later = harness.Add(fetching.Tokens.ToArray(), 1);
        harness.Drain();
        Assert.Equal((8, 8), (fetching.CachedTokens, later.CachedTokens));
    }

    [Fact]
    public void What_came_back_leaves_the_host_from_its_end()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2);
        Request request = harness.Add([.. PromptOf(0), 1], 2);
        harness.Drain();
        Assert.Equal(8, request.HostCachedTokens);
        harness.AssertHostLeavesFromTheEnd([.. PromptOf(0), 1], leastBlocks: 2);
    }

    [Fact]
    public void What_went_to_the_host_leaves_the_device_from_its_end()
    {
        using var harness = new SchedulerHarness(numBlocks: 17, prefixCaching: true, setup: new SchedulerSetup { TierBlocks = 80 });
        int[] prompt = FakeLanguage.Prompt(1, 40);
        harness.Add([.. prompt, 1], 1);
        harness.Drain();
        // While this one is computed the others are copied.
        harness.Add(FakeLanguage.Prompt(2, 3), 3);
        harness.Drain();
        Request probe = harness.Add([.. prompt, 1], 1);
        PrefixIndex index = harness.Prefixes!.Index;
        int[] nodes = new int[index.Capacity];
        nodes = nodes[..harness.Prefixes.Match(probe, nodes)];
        Assert.Equal(10, nodes.Length);
        // 8 blocks, half of the pool, are to be free or copied; 4 are free in the end.
        Assert.Equal(4, nodes.Count(node => index.HostBlockOf(node) != PrefixIndex.None));
        int left = 10;
        while (harness.Scheduler.Cache.TryTake(out _))
        {
            int now = nodes.TakeWhile(node => index.DeviceBlockOf(node) != PrefixIndex.None).Count();
            Assert.InRange(now, left - 1, left);
            left = now;
        }

        Assert.Equal(0, left);
    }

    [Fact]
    public void What_the_host_had_of_a_request_is_told_as_a_hit()
    {
        using SchedulerHarness harness = WithPromptsOnHost(maxSeqs: 2);
        Request request = harness.Add([.. PromptOf(0), 1], 2);
        harness.Step();
        Assert.Contains(new StepEvent(StepEventKind.PrefixHit, request.Id, 8), harness.Step().Events.Span.ToArray());
    }

    private static int[] PromptOf(int i) => FakeLanguage.Prompt(1000 + i, 8);

    // 16 blocks of 4; the last request takes the whole pool, so that of what came before the host has the only copies.
    private static SchedulerHarness WithPromptsOnHost(int maxSeqs, int stepsInFlight = 1)
    {
        var harness = new SchedulerHarness(numBlocks: 17, maxSeqs: maxSeqs, stepsInFlight: stepsInFlight, prefixCaching: true, setup: new SchedulerSetup { TierBlocks = 80 });
        int[][] prompts = [.. Enumerable.Range(0, Prompts).Select(i => (int[])[.. PromptOf(i), 1]), .. new[] { 30, 31, 32, 60 }.Select(length => FakeLanguage.Prompt(length, length))];
        foreach (int[] prompt in prompts)
        {
            harness.Add(prompt, 2);
            harness.Drain();
        }

        PrefixIndex index = harness.Prefixes!.Index;
        for (int i = 0; i < Prompts; i++)
        {
            Request probe = harness.Add([.. PromptOf(i), 1], 1);
            int[] nodes = new int[index.Capacity];
            Assert.Equal(2, harness.Prefixes.Match(probe, nodes));
            Assert.All(nodes[..2], node => Assert.Equal((true, false), (index.HostBlockOf(node) != PrefixIndex.None, index.DeviceBlockOf(node) != PrefixIndex.None)));
            harness.End(probe);
        }

        return harness;
    }
}
