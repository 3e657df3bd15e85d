using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Requests that share blocks: when they may, what failures do to them, and that writers get copies.</summary>
public sealed class PrefixSharingTests
{
    [Fact]
    public void Requests_of_one_step_share_what_the_step_fills()
    {
        using var harness = new SchedulerHarness(prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        Request[] requests = [harness.Add(prompt, 4), harness.Add(prompt, 4)];
        StepPlan plan = harness.Submit()!;
        // One token is left to compute, so the last block is not shared.
        Assert.Equal((12, 4), (plan.Rows[0].QueryLength, plan.Rows[1].QueryLength));
        Assert.Equal(requests[0].Blocks[..2], requests[1].Blocks[..2]);
        Assert.NotEqual(requests[0].Blocks[2], requests[1].Blocks[2]);
        harness.Drain();
        Assert.All(requests, request => Assert.Equal(FakeLanguage.Complete(prompt, 4, 0, []).Ids, SchedulerHarness.OutputOf(request)));
        Assert.Equal((0, 8), (requests[0].CachedTokens, requests[1].CachedTokens));
    }

    [Fact]
    public void Whoever_built_on_a_step_that_failed_is_planned_again()
    {
        using var harness = new SchedulerHarness(prefixCaching: true, stepsInFlight: 2);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        harness.Device.FailStep = plan => plan.StepId == 1 ? new InvalidOperationException("planned") : null;
        Request failing = harness.Add(prompt, 4);
        harness.Submit();
        Request follower = harness.Add(prompt, 4);
        harness.Submit();
        Assert.Equal(8, follower.CachedTokens);
        harness.Drain();
        Assert.Equal(FinishReason.Error, SchedulerHarness.StateOf(failing).Finish);
        Assert.Equal(FakeLanguage.Complete(prompt, 4, 0, []).Ids, SchedulerHarness.OutputOf(follower));
        // What the failed step filled is not found any more, until the follower has computed it anew.
        Request late = harness.Add(prompt, 1);
        harness.Drain();
        Assert.Equal(8, late.CachedTokens);
    }

    [Fact]
    public void A_row_that_is_not_a_number_takes_its_blocks_out_of_the_cache()
    {
        using var harness = new SchedulerHarness(prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        harness.Device.FailRow = (plan, row) => plan.StepId == 1 && row == 0 ? RowStatus.NotANumber : RowStatus.Ok;
        Request failing = harness.Add(prompt, 4);
        Request follower = harness.Add(prompt, 4);
        harness.Drain();
        Assert.Equal(FinishReason.Error, SchedulerHarness.StateOf(failing).Finish);
        Assert.Equal(FakeLanguage.Complete(prompt, 4, 0, []).Ids, SchedulerHarness.OutputOf(follower));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_bad_row_of_a_request_that_was_aborted_meanwhile_takes_its_blocks_out_of_the_cache(int stepsInFlight)
    {
        using var harness = new SchedulerHarness(prefixCaching: true, stepsInFlight: stepsInFlight);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        harness.Device.FailRow = (plan, row) => plan.StepId == 1 ? RowStatus.NotANumber : RowStatus.Ok;
        Request aborted = harness.Add(prompt, 4);
        harness.Submit();
        harness.End(aborted);
        Request follower = harness.Add(prompt, 4);
        harness.Submit();
        Assert.Equal(stepsInFlight == 2 ? 8 : -1, follower.CachedTokens);
        harness.Drain();
        Assert.Equal(FinishReason.Abort, SchedulerHarness.StateOf(aborted).Finish);
        Assert.Equal(FakeLanguage.Complete(prompt, 4, 0, []).Ids, SchedulerHarness.OutputOf(follower));
        // What the follower has computed anew is found.
        Request late = harness.Add(prompt, 4);
        harness.Drain();
        Assert.Equal(8, late.CachedTokens);
        Assert.Equal(FakeLanguage.Complete(prompt, 4, 0, []).Ids, SchedulerHarness.OutputOf(late));
    }

    [Fact]
    public void A_bad_row_behind_the_last_token_takes_its_blocks_out_of_the_cache()
    {
        using var harness = new SchedulerHarness(prefixCaching: true, stepsInFlight: 2);
        int[] prompt = FakeLanguage.Prompt(1, 3);
        int stop = FakeLanguage.Next(prompt);
        // The wasted step writes the stop token's K/V, which fills the block.
        harness.Device.FailRow = (plan, row) => plan.StepId == 2 ? RowStatus.NotANumber : RowStatus.Ok;
        Request stopped = harness.Add(prompt, 4, stopIds: [stop]);
        harness.Drain();
        Assert.Equal(FinishReason.Stop, SchedulerHarness.StateOf(stopped).Finish);
        Assert.Equal(0, harness.Pool.Cached);
        Request late = harness.Add([.. prompt, stop, 5], 4);
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete([.. prompt, stop, 5], 4, 0, []).Ids, SchedulerHarness.OutputOf(late));
    }

    [Fact]
    public void A_bad_row_of_an_aborted_beam_takes_the_blocks_of_its_whole_group_out_of_the_cache()
    {
        using var harness = new SchedulerHarness(prefixCaching: true);
        harness.Device.Distribution = tokens => BeamReference.Table(tokens, 4);
        SamplingParams parameters = SamplingParams.Greedy with { UseBeamSearch = true, BestOf = 3 };
        BeamGroup group = harness.AddBeams([BeamReference.Marker, 1, 2], 20, parameters, [], 4);
        for (int step = 0; step < 6; step++)
        {
            harness.Step();
        }

        harness.Device.FailRow = (plan, row) => row == 0 ? RowStatus.NotANumber : RowStatus.Ok;
        Assert.Equal(3, harness.Submit()!.Rows.Count);
        harness.End(group.Beams[1]);
        int[] blocks = [.. group.Beams.ToArray().SelectMany(beam => beam.Blocks.Take(beam.BlockCount)).Distinct()];
        Assert.Contains(blocks, harness.Pool.IsIndexed);
        harness.Collect();
        Assert.DoesNotContain(blocks, harness.Pool.IsIndexed);
    }

    [Fact]
    public void Hidden_states_of_an_aborted_request_that_are_not_numbers_take_its_blocks_out_of_the_cache()
    {
        using var harness = new SchedulerHarness(prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        harness.Device.FailRow = (plan, row) => RowStatus.NotANumber;
        var pooled = new Request(1, prompt, SamplingParams.Greedy, 1, [], harness.BlockSize, seed: 0) { Pooling = new HiddenPooling(PoolingType.Mean, prompt.Length) };
        harness.Scheduler.Add(pooled);
        harness.Submit();
        harness.End(pooled);
        Assert.Equal(3, harness.Prefixes!.Index.Count);
        harness.Collect();
        Assert.Equal(0, harness.Prefixes.Index.Count);
    }

    [Fact]
    public void What_an_aborted_request_built_on_a_bad_row_is_not_found_behind_the_host_s_copy()
    {
        using var harness = new SchedulerHarness(prefixCaching: true, numBlocks: 17, setup: new SchedulerSetup { TierBlocks = 40 });
        int[] prompt = FakeLanguage.Prompt(1, 8);
        // The last one takes the whole pool: of the prompt's blocks the host has the only copies.
        foreach (int length in new[] { 9, 30, 31, 32, 60 })
        {
            harness.Add(length == 9 ? [.. prompt, 1] : FakeLanguage.Prompt(100 + length, length), 2);
            harness.Drain();
        }

        harness.Device.FailRow = (plan, row) => row == 0 ? RowStatus.NotANumber : RowStatus.Ok;
        Request failing = harness.Add([.. prompt, 1, 2], 4, scheduling: new RequestScheduling { SkipReadingPrefixCache = true });
        Request aborted = harness.Add([.. prompt, 7, 7, 7, 7, 7], 4);
        Assert.Equal(2, harness.Submit()!.Rows.Count);
        Assert.Equal(failing.Blocks[..2], aborted.Blocks[..2]);
        int node = harness.Prefixes!.Index.OfDeviceBlock(failing.Blocks[1]);
        Assert.NotEqual(PrefixIndex.None, harness.Prefixes.Index.HostBlockOf(node));
        int own = aborted.Blocks[2];
        Assert.True(harness.Pool.IsIndexed(own));
        harness.End(aborted);
        harness.Collect();
        Assert.Equal(FinishReason.Error, SchedulerHarness.StateOf(failing).Finish);
        Assert.NotEqual(PrefixIndex.None, harness.Prefixes.Index.HostBlockOf(node));
        Assert.False(harness.Pool.IsIndexed(own));
    }

    [Fact]
    public void A_fork_copies_the_block_that_it_writes_to()
    {
        using var harness = new SchedulerHarness();
        Request parent = harness.Add(FakeLanguage.Prompt(1, 6), 8);
        harness.Step();
        Request fork = harness.Fork(parent, maxTokens: 5, extraToken: 9);
        Assert.Equal(parent.Blocks[..2], fork.Blocks[..2]);
        StepPlan plan = harness.Submit()!;
        // Both write behind token 6 of the second block: the parent first, into a copy; the fork is its only owner then.
        Assert.Equal(1, plan.BlockCopies.Count);
        Assert.NotEqual(parent.Blocks[1], fork.Blocks[1]);
        Assert.Equal(parent.Blocks[0], fork.Blocks[0]);
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete(parent.Tokens.Span[..6], 8, 0, []).Ids, SchedulerHarness.OutputOf(parent));
        Assert.Equal(FakeLanguage.Complete(fork.Tokens.Span[..fork.PromptLength], 5, 0, []).Ids, SchedulerHarness.OutputOf(fork));
    }

    [Fact]
    public void What_a_fork_overwrites_is_not_found_as_what_its_parent_had_there()
    {
        using var harness = new SchedulerHarness(maxSeqs: 1, prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 6);
        // What would come first ends the parent and is banned for now: the two go different ways.
        int first = FakeLanguage.Next(prompt);
        Request parent = harness.Add(prompt, 10, SamplingParams.Greedy with { MinTokens = 10 }, stopIds: [first]);
        while (parent.Length < 10)
        {
            harness.Step();
        }

        // It shares a block that its parent has filled meanwhile, and is alone with it soon.
        Request fork = harness.ForkPrompt(parent, maxTokens: 4, SamplingParams.Greedy);
        int[] said = parent.Tokens.ToArray();
        harness.End(parent);
        harness.Drain();
        Assert.Equal(first, SchedulerHarness.OutputOf(fork)[0]);
        Request next = harness.Add([.. said, 1, 2], 3);
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete(next.Tokens.Span[..next.PromptLength], 3, 0, []).Ids, SchedulerHarness.OutputOf(next));
    }

    [Fact]
    public void A_pinned_prefix_survives_pressure_until_its_time_is_up()
    {
        using var harness = new SchedulerHarness(numBlocks: 17, prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 17);
        Request first = harness.Add(prompt, 1);
        harness.Drain();
        Assert.Equal(16, harness.PinPrefix(first, until: 100));
        Flood(harness);
        Request again = harness.Add(prompt, 1);
        harness.Drain();
        Assert.Equal(16, again.CachedTokens);
        harness.Scheduler.ExpirePins(99);
        Assert.Equal(4, harness.Scheduler.Pins.Count);
        harness.Scheduler.ExpirePins(100);
        Assert.Equal((0, 0), (harness.Scheduler.Pins.Count, harness.Pool.Used));
        Flood(harness);
        Request late = harness.Add(prompt, 1);
        harness.Drain();
        Assert.Equal(0, late.CachedTokens);
    }

    [Theory]
    [InlineData("lru")]
    [InlineData("lfu")]
    [InlineData("length-aware")]
    public void A_beginning_that_is_still_used_when_what_follows_is_given_back_gives_way_after_that(string eviction)
    {
        using var harness = new SchedulerHarness(prefixCaching: true, eviction: eviction);
        int[] prompt = FakeLanguage.Prompt(1, 41);
        Request parent = harness.Add(prompt, 2);
        harness.Submit();
        int[] blocks = parent.Blocks[..10];
        Request fork = harness.ForkPrompt(parent, 20, SamplingParams.Greedy with { MaxTokens = 20 });
        harness.End(fork);
        harness.Collect();
        Request shorter = harness.Add(prompt[..9], 20);
        harness.Drain();
        Assert.Equal((RequestStatus.Finished, 8), (shorter.Status, shorter.CachedTokens));
        int[] leaving = new int[harness.Pool.Cached];
        harness.Pool.PeekEvictions(leaving);
        Assert.Equal(blocks.Reverse(), leaving.Where(blocks.Contains));
    }

    [Fact]
    public void Compaction_brings_a_request_s_blocks_together()
    {
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 4);
        Request[] requests = [.. Enumerable.Range(0, 4).Select(_ => harness.Add(promptLength: 2, maxTokens: 25))];
        // They grow in turns, so that their blocks lie in turns.
        for (int step = 0; step < 14; step++)
        {
            harness.Step();
        }

        Assert.Equal(4, requests[0].BlockCount);
        Assert.True(RunsOf(requests) > 8, $"{RunsOf(requests)} runs");
        Assert.True(harness.Defragment() > 0);
        Assert.Equal(4, RunsOf(requests));
        Assert.Equal(0, harness.Defragment());
        harness.Drain();
        Assert.All(requests, request => Assert.Equal(FakeLanguage.Complete(request.Tokens.Span[..2], 25, 0, []).Ids, SchedulerHarness.OutputOf(request)));
    }

    [Fact]
    public void Blocks_whose_move_failed_are_computed_again()
    {
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 4, prefixCaching: true);
        Request[] requests = [.. Enumerable.Range(0, 4).Select(_ => harness.Add(promptLength: 2, maxTokens: 25))];
        for (int step = 0; step < 14; step++)
        {
            harness.Step();
        }

        harness.Device.FailStep = plan => plan.Rows.Count == 0 ? new InvalidOperationException("planned") : null;
        harness.Device.LosesCopiesOfFailedSteps = true;
        Assert.True(harness.Defragment() > 0);
        harness.Drain();
        Assert.All(requests, request => Assert.Equal(FakeLanguage.Complete(request.Tokens.Span[..2], 25, 0, []).Ids, SchedulerHarness.OutputOf(request)));
        Assert.All(requests, request => Assert.Equal(FinishReason.Length, SchedulerHarness.StateOf(request).Finish));
    }

    private static int RunsOf(Request[] requests) => Defragmenter.RunsOf(requests);

    private static void Flood(SchedulerHarness harness)
    {
        for (int i = 0; i < 6; i++)
        {
            harness.Add(FakeLanguage.Prompt(100 + i, 30), 2);
        }

        harness.Drain();
    }
}
