using VllmNative.Requests;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>When blocks run out.</summary>
public sealed class SchedulerPreemptionTests
{
    [Fact]
    public void The_last_comer_loses_its_blocks_and_is_computed_again_from_all_its_tokens()
    {
        // 6 blocks of 4: two prompts of 8 take 4, each grows by one at 8 and again at 12.
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4);
        Request first = harness.Add(promptLength: 8, maxTokens: 10);
        Request second = harness.Add(promptLength: 8, maxTokens: 10);
        while (second.Preemptions == 0)
        {
            harness.Step();
        }

        Assert.Equal((0, 1L), (first.Preemptions, harness.Scheduler.Preemptions));
        Assert.Equal((RequestStatus.Preempted, 0, 0, -1), (second.Status, second.Computed, second.BlockCount, second.Row));
        int length = second.Length;
        Assert.True(second.OutputLength > 0);
        StepPlan resumed = harness.Step();
        while (second.Status != RequestStatus.Running)
        {
            resumed = harness.Step();
        }

        Assert.Equal(second.Tokens.Span[..length].ToArray(), resumed.TokenIds.Span.ToArray()[^length..]);
        Assert.Contains(resumed.RowUpdates.Span.ToArray(), update => update.Row == second.Row && update.ComputedLength == 0);
        harness.Drain();
        AssertUndisturbed(first, 10);
        AssertUndisturbed(second, 10);
        Assert.Equal(0, harness.Pool.Used);
    }

    [Fact]
    public void Nobody_is_taken_in_by_the_step_that_preempted()
    {
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4);
        harness.Add(promptLength: 8, maxTokens: 10);
        Request second = harness.Add(promptLength: 8, maxTokens: 10);
        while (harness.Scheduler.Preemptions == 0)
        {
            harness.Add(promptLength: 1, maxTokens: 1);
            harness.Submit();
            if (harness.Scheduler.Preemptions > 0)
            {
                Assert.Empty(harness.Admitted);
            }

            harness.Collect();
        }

        // It went to the front of the queue.
        Assert.Same(second, harness.Scheduler.Waiting.First());
        harness.Drain();
    }

    [Fact]
    public void A_preempted_request_counts_its_prompt_and_its_output_again()
    {
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4);
        var penalties = new SamplingParams { Temperature = 0, RepetitionPenalty = 1.5f };
        harness.Add(FakeLanguage.Prompt(1, 8), 10, penalties);
        Request second = harness.Add(FakeLanguage.Prompt(2, 8), 10, penalties);
        while (second.Preemptions == 0)
        {
            harness.Step();
        }

        Assert.Equal(-1, second.CountSlot);
        int[] tokens = second.Tokens.ToArray();
        StepPlan plan = harness.Step();
        while (plan.SamplingUpdates.Count == 0)
        {
            plan = harness.Step();
        }

        SamplingUpdate update = plan.SamplingUpdates[0];
        Assert.Equal((second.Row, 8), (update.Row, update.PromptLength));
        Assert.Equal(tokens, update.Tokens.ToArray());
    }

    [Fact]
    public void Who_has_lost_its_blocks_does_not_lose_them_again()
    {
        // 8 blocks of 4 for four requests of up to 6: one after the other makes room.
        using var harness = new SchedulerHarness(numBlocks: 9, blockSize: 4);
        Request[] requests = [.. Enumerable.Range(0, 4).Select(_ => harness.Add(promptLength: 4, maxTokens: 20))];
        var lost = new List<StepEvent>();
        while (harness.Scheduler.HasWork)
        {
            lost.AddRange(harness.Step().Events.Span.ToArray().Where(happened => happened.Kind == StepEventKind.Preempted));
        }

        Assert.True(lost.Count > 2, $"{lost.Count} preemptions");
        Assert.All(lost, happened => Assert.True(happened.Count > 0, $"request {happened.RequestId} lost no block"));
        Assert.Equal((long)lost.Count, harness.Scheduler.Preemptions);
        Assert.All(requests, request => AssertUndisturbed(request, 20));
    }

    [Fact]
    public void A_preempted_request_can_be_aborted()
    {
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4);
        Request first = harness.Add(promptLength: 8, maxTokens: 10);
        Request second = harness.Add(promptLength: 8, maxTokens: 10);
        while (second.Preemptions == 0)
        {
            harness.Step();
        }

        harness.End(second);
        harness.Drain();
        AssertUndisturbed(first, 10);
        Assert.Equal((0, RequestStatus.Finished), (harness.Pool.Used, second.Status));
    }

    [Fact]
    public void A_request_that_fills_the_whole_pool_finishes_alone()
    {
        using var harness = new SchedulerHarness(numBlocks: 5, blockSize: 4);
        // 16 slots hold everything but the last token, which needs none.
        Request exact = harness.Add(promptLength: 7, maxTokens: 10);
        Request other = harness.Add(promptLength: 3, maxTokens: 14);
        harness.Drain(200);
        AssertUndisturbed(exact, 10);
        AssertUndisturbed(other, 14);
    }

    [Fact]
    public void With_two_steps_in_flight_no_block_is_taken_from_a_step_that_has_not_returned()
    {
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4, stepsInFlight: 2);
        Request first = harness.Add(promptLength: 8, maxTokens: 10);
        Request second = harness.Add(promptLength: 8, maxTokens: 10);
        harness.Drain(200);
        Assert.True(harness.Scheduler.Preemptions > 0);
        Assert.Equal(2, harness.Device.MostStepsInFlight);
        AssertUndisturbed(first, 10);
        AssertUndisturbed(second, 10);
    }

    private static void AssertUndisturbed(Request request, int maxTokens) =>
        Assert.Equal(FakeLanguage.Complete(request.Tokens.Span[..request.PromptLength], maxTokens, 0, []).Ids, SchedulerHarness.OutputOf(request));
}
