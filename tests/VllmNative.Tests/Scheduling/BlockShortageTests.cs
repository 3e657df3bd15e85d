using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Who sits out a step when blocks run short, and what stays free so that they seldom do.</summary>
public sealed class BlockShortageTests
{
    [Fact]
    public void Only_who_lacks_a_block_and_who_gives_his_up_sit_out_a_step()
    {
        (SchedulerHarness harness, Request[] requests) = Full(PreemptionMode.Recompute);
        using SchedulerHarness _ = harness;
        // The second one's 17th token has no block; the last one, whose blocks it gets, has a step in flight.
        Assert.Equal([requests[0], requests[2]], RowsOf(harness, harness.Submit()!));
        Assert.Equal(0, harness.Scheduler.Preemptions);
        harness.Collect();
        Assert.Equal([requests[0], requests[1], requests[2]], RowsOf(harness, harness.Submit()!));
        Assert.Equal((1L, 1), (harness.Scheduler.Preemptions, requests[3].Preemptions));
        harness.Drain();
        Assert.All(requests, request => Assert.Equal(request.MaxTokens, request.OutputLength));
    }

    [Fact]
    public void While_blocks_are_copied_to_the_host_only_who_waits_for_them_sits_out()
    {
        (SchedulerHarness harness, Request[] requests) = Full(PreemptionMode.Swap);
        using SchedulerHarness _ = harness;
        harness.Device.SwapLag = () => 2;
        Assert.Equal([requests[0], requests[2]], RowsOf(harness, harness.Submit()!));
        int without = 0;
        StepPlan plan;
        while (RowsOf(harness, plan = Next()) is { } rows && !rows.Contains(requests[1]))
        {
            Assert.Equal([requests[0], requests[2]], rows);
            Assert.Equal((1L, 1L), (harness.Scheduler.Preemptions, harness.Scheduler.SwapOuts));
            without++;
        }

        Assert.True(without >= 2, $"the copies took {without} steps");
        Assert.Equal([requests[0], requests[1], requests[2]], RowsOf(harness, plan));
        harness.Drain();
        Assert.All(requests, request => Assert.Equal(request.MaxTokens, request.OutputLength));

        StepPlan Next()
        {
            harness.Collect();
            return harness.Submit()!;
        }
    }

    [Fact]
    public void A_request_begins_only_when_those_that_run_keep_half_a_block_each()
    {
        // 8 blocks of 4; two that run have 2 each.
        using var harness = new SchedulerHarness(numBlocks: 9);
        Request first = harness.Add(promptLength: 5, maxTokens: 3);
        harness.Add(promptLength: 5, maxTokens: 3);
        Request exact = harness.Add(promptLength: 16, maxTokens: 1);
        Request smaller = harness.Add(promptLength: 12, maxTokens: 1);
        harness.Step();
        Assert.Equal((RequestStatus.Waiting, RequestStatus.Finished), (exact.Status, smaller.Status));
        Assert.Equal(0, exact.Scheduled);
        // Beside one alone it fits.
        harness.End(first);
        harness.Step();
        Assert.Equal(RequestStatus.Finished, exact.Status);
    }

    [Fact]
    public void Who_holds_blocks_already_begins_without_such_a_reserve()
    {
        // 4 blocks of 4; three that run have one each, and the last one is for the fork's copy of what it shares.
        using var harness = new SchedulerHarness(numBlocks: 5);
        Request[] requests = [.. Enumerable.Range(0, 3).Select(_ => harness.Add(promptLength: 2, maxTokens: 2))];
        harness.Step();
        Assert.Equal(1, harness.Pool.Free);
        Request fork = harness.Fork(requests[0], maxTokens: 1, extraToken: 7);
        harness.Step();
        Assert.Equal(RequestStatus.Finished, fork.Status);
    }

    [Fact]
    public void A_fork_that_fits_interrupts_nobody()
    {
        // 10 blocks of 4: seven that run have one each.
        using var harness = new SchedulerHarness(numBlocks: 11, maxSeqs: 8, setup: new SchedulerSetup { Policy = SchedulingPolicies.Create("priority") });
        Request parent = harness.Add(FakeLanguage.Prompt(1, 2), 3);
        Request[] later = [.. Enumerable.Range(2, 6).Select(i => harness.Add(FakeLanguage.Prompt(i, 2), 3, scheduling: new RequestScheduling { Priority = 5 }))];
        harness.Step();
        Request fork = harness.Fork(parent, maxTokens: 1, extraToken: 7);
        harness.Step();
        Assert.Equal((RequestStatus.Finished, 0L), (fork.Status, harness.Scheduler.Preemptions));
        Assert.All(later, request => Assert.Equal(0, request.Overtaken));
    }

    [Fact]
    public void A_prompt_in_chunks_keeps_the_blocks_that_it_has_still_to_take()
    {
        // 12 blocks of 4, chunks of one block: six for the first prompt, seven for the second.
        using var harness = new SchedulerHarness(numBlocks: 13, threshold: 4);
        Request first = harness.Add(promptLength: 24, maxTokens: 1);
        Request second = harness.Add(promptLength: 28, maxTokens: 1);
        harness.Step();
        Assert.Equal((1, 0), (first.BlockCount, second.BlockCount));
        harness.Drain();
        Assert.Equal((RequestStatus.Finished, 0L), (second.Status, harness.Scheduler.Preemptions));
    }

    [Fact]
    public void Blocks_that_others_share_are_not_counted_on()
    {
        using var harness = new SchedulerHarness(prefixCaching: true);
        int[] common = FakeLanguage.Prompt(1, 8);
        Request[] requests = [.. Enumerable.Range(0, 2).Select(i => harness.Add([.. common, 100 + i, 7], maxTokens: 3))];
        harness.Step();
        Assert.Equal([3, 3], requests.Select(request => request.BlockCount));
        var cache = harness.Scheduler.Cache;
        Assert.Equal([1, 1], requests.Select(cache.CountUnshared));
    }

    // Four requests with two blocks of 8 each, and one block more. Two steps are in flight; with the third, the first one takes that block.
    private static (SchedulerHarness Harness, Request[] Requests) Full(PreemptionMode mode)
    {
        var setup = new SchedulerSetup { Preemption = mode, SwapBlocks = mode == PreemptionMode.Swap ? 16 : 0 };
        var harness = new SchedulerHarness(numBlocks: 10, blockSize: 8, stepsInFlight: 2, setup: setup);
        Request[] requests = [.. new[] { 15, 15, 9, 9 }.Select(length => harness.Add(length, maxTokens: 12))];
        Assert.Equal(4, harness.Submit()!.Rows.Count);
        Assert.Equal(4, harness.Submit()!.Rows.Count);
        harness.Collect();
        return (harness, requests);
    }

    private static Request[] RowsOf(SchedulerHarness harness, StepPlan plan) => [.. plan.Rows.Span.ToArray().Select(row => harness.Scheduler.RequestAt(row.Row))];
}
