using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Static batching, the baseline: whole rows of adjacent blocks, and batches that run to their end.</summary>
public sealed class StaticBatchTests
{
    [Fact]
    public void A_batch_runs_to_its_end_before_the_next_begins()
    {
        // 32 blocks of 4 tokens: two rows of 64 tokens.
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 4, staticRowTokens: 64);
        Request[] requests = [.. new[] { 2, 9, 3, 4 }.Select(maxTokens => harness.Add(promptLength: 3, maxTokens))];
        while (requests[1].Status != RequestStatus.Finished)
        {
            Assert.All(requests[2..], request => Assert.Equal(RequestStatus.Waiting, request.Status));
            harness.Turn();
        }

        harness.Turn();
        Assert.All(requests[2..], request => Assert.Equal(RequestStatus.Running, request.Status));
        harness.Drain();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Who_runs_owns_a_whole_row_of_adjacent_blocks_until_its_end(int stepsInFlight)
    {
        // Rows of 5 blocks of 4 tokens, 8 of them and 3 blocks besides; 6 requests run at a time.
        const int seed = 11;
        const int rowBlocks = 5;
        var random = new Random(seed);
        using var harness = new SchedulerHarness(numBlocks: 1 + (8 * rowBlocks) + 3, maxSeqs: 6, budget: 24, threshold: 7, stepsInFlight: stepsInFlight, staticRowTokens: 18);
        for (int i = 0; i < 60; i++)
        {
            int prompt = random.Next(1, 18);
            harness.Add(prompt, maxTokens: random.Next(1, 19 - prompt));
        }

        int most = 0;
        bool early = false;
        do
        {
            Request[] owners = [.. harness.Scheduler.Owners.Where(request => request.BlockCount > 0)];
            Assert.All(owners, request =>
            {
                int first = request.Blocks[0];
                Assert.Equal(Enumerable.Range(first, rowBlocks), request.Blocks.Take(request.BlockCount));
                Assert.Equal(1, first % rowBlocks);
                early |= request.Scheduled <= 4;
            });
            Assert.All(harness.Scheduler.Running, request => Assert.Equal(rowBlocks, request.BlockCount));
            Assert.True(harness.Pool.Used == owners.Length * rowBlocks, $"seed {seed}: {harness.Pool.Used} blocks are used, {owners.Length} requests own a row");
            most = Math.Max(most, owners.Length);
        }
        while (harness.Turn());

        Assert.Equal((6, true, 0), (most, early, harness.Pool.Used));
        Assert.All(harness.Requests, request => Assert.Equal(FakeLanguage.Complete(request.Tokens.Span[..request.PromptLength], request.MaxTokens, 0, []).Ids, SchedulerHarness.OutputOf(request)));
    }

    [Fact]
    public void A_row_whose_request_has_ended_is_not_computed_and_its_blocks_come_back()
    {
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 2, staticRowTokens: 64);
        harness.Add(promptLength: 3, maxTokens: 2);
        Request longer = harness.Add(promptLength: 3, maxTokens: 4);
        Request next = harness.Add(promptLength: 3, maxTokens: 1);
        Assert.Equal([2, 2], [harness.Step().Rows.Count, harness.Step().Rows.Count]);
        StepPlan plan = harness.Submit()!;
        Assert.Equal((longer.Row, 1), (Assert.Single(plan.Rows.Span.ToArray()).Row, harness.Scheduler.RunningCount));
        Assert.Equal((16, RequestStatus.Waiting), (harness.Pool.Used, next.Status));
        harness.Collect();
        harness.Drain();
    }

    [Fact]
    public void Who_ends_while_the_batch_is_filled_leaves_no_place_to_another()
    {
        // A prompt a step: the first request has ended before the third comes.
        using var harness = new SchedulerHarness(numBlocks: 49, maxSeqs: 3, budget: 9, staticRowTokens: 64);
        Request[] requests = [harness.Add(8, 1), harness.Add(8, 9), harness.Add(8, 9), harness.Add(8, 9)];
        while (requests[2].Status != RequestStatus.Finished)
        {
            Assert.Equal(RequestStatus.Waiting, requests[3].Status);
            harness.Step();
        }

        Assert.All(requests[..3], request => Assert.Equal(RequestStatus.Finished, request.Status));
        harness.Drain();
    }

    [Fact]
    public void A_batch_begins_in_one_step_though_its_rows_have_more_blocks_than_a_step_can_change()
    {
        using var harness = new SchedulerHarness(numBlocks: 129, maxSeqs: 8, staticRowTokens: 64, tableUpdates: 32);
        for (int i = 0; i < 8; i++)
        {
            harness.Add(promptLength: 5, maxTokens: 30);
        }

        StepPlan plan = harness.Submit()!;
        // Of each row the blocks that five tokens take.
        Assert.Equal((8, 8 * 2, 8 * 16), (plan.Rows.Count, plan.TableUpdates.Count, harness.Pool.Used));
        harness.Collect();
        harness.Drain();
    }

    [Fact]
    public void Completions_of_a_prompt_have_a_row_each()
    {
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 4, staticRowTokens: 64);
        Request parent = harness.Add(promptLength: 6, maxTokens: 9);
        harness.Step();
        Request fork = harness.Fork(parent, maxTokens: 4, extraToken: 9);
        Assert.Equal((0, 0, 16), (fork.BlockCount, fork.Scheduled, harness.Pool.Used));
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete(fork.Tokens.Span[..fork.PromptLength], 4, 0, []).Ids, SchedulerHarness.OutputOf(fork));
    }

    [Fact]
    public void A_policy_interrupts_nobody_for_whom_the_batch_has_no_place()
    {
        using var harness = new SchedulerHarness(numBlocks: 33, maxSeqs: 2, staticRowTokens: 64, setup: new SchedulerSetup { Policy = SchedulingPolicies.Create("priority") });
        harness.Add(promptLength: 3, maxTokens: 5);
        harness.Add(promptLength: 3, maxTokens: 5);
        harness.Step();
        Request urgent = harness.Add(FakeLanguage.Prompt(7, 3), 2, scheduling: new RequestScheduling { Priority = -9 });
        harness.Step();
        Assert.Equal((2, 0L, RequestStatus.Waiting), (harness.Scheduler.RunningCount, harness.Scheduler.Preemptions, urgent.Status));
        harness.Drain();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(64)]
    public void No_more_run_than_the_most(int staticRowTokens)
    {
        using var harness = new SchedulerHarness(numBlocks: 129, maxSeqs: 8, staticRowTokens: staticRowTokens);
        foreach (int most in (int[])[3, 8, 1])
        {
            harness.Scheduler.MostRunning = most;
            for (int i = 0; i < 20; i++)
            {
                harness.Add(promptLength: 3, maxTokens: 4 + (i % 3));
            }

            int seen = 0;
            while (harness.Turn())
            {
                seen = Math.Max(seen, harness.Scheduler.RunningCount);
                Assert.True(harness.Scheduler.RunningCount <= most);
                // A static batch is a whole one.
                Assert.True(staticRowTokens == 0 || harness.Admitted.Count == 0 || harness.Admitted.Count == harness.Scheduler.RunningCount);
            }

            Assert.Equal((most, false), (seen, harness.Scheduler.HasWork));
        }
    }
}
