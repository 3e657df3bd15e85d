using VllmNative.Requests;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>What a step holds, by example.</summary>
public sealed class SchedulerTests
{
    [Fact]
    public void Prompts_share_the_budget_in_order_of_arrival()
    {
        using var harness = new SchedulerHarness(budget: 10);
        Request first = harness.Add(promptLength: 6, maxTokens: 4);
        Request second = harness.Add(promptLength: 9, maxTokens: 4);
        StepPlan plan = harness.Step();
        Assert.Equal([(first.Row, 6, 1), (second.Row, 4, 0)], Rows(plan));
        Assert.Equal(10, plan.NumTokens);
        // The running decode comes first, the rest of the prompt takes what it needs.
        Assert.Equal([(first.Row, 1, 1), (second.Row, 5, 1)], Rows(harness.Step()));
        Assert.Equal([(first.Row, 1, 1), (second.Row, 1, 1)], Rows(harness.Step()));
    }

    [Fact]
    public void A_long_prompt_is_cut_at_the_threshold_and_lets_others_in()
    {
        using var harness = new SchedulerHarness(budget: 64, threshold: 7);
        Request lengthy = harness.Add(promptLength: 20, maxTokens: 2);
        Request brief = harness.Add(promptLength: 3, maxTokens: 2);
        StepPlan plan = harness.Step();
        Assert.Equal([(lengthy.Row, 7, 0), (brief.Row, 3, 1)], Rows(plan));
        Assert.Equal([(lengthy.Row, 7, 0), (brief.Row, 1, 1)], Rows(harness.Step()));
        Assert.Equal([(lengthy.Row, 6, 1)], Rows(harness.Step()));
    }

    [Fact]
    public void Ids_are_uploaded_for_prompts_only_and_decodes_take_the_devices_last_token()
    {
        using var harness = new SchedulerHarness();
        Request request = harness.Add([5, 6, 7], maxTokens: 3);
        StepPlan first = harness.Step();
        Assert.Equal([5, 6, 7], first.TokenIds.Span.ToArray());
        Assert.Equal(0, first.Rows[0].FirstId);
        StepPlan second = harness.Step();
        Assert.Equal(0, second.TokenIds.Count);
        Assert.Equal(-1, second.Rows[0].FirstId);
        Assert.Equal(4, second.Rows[0].SequenceLength);
        Assert.Equal(2, request.OutputLength);
    }

    [Fact]
    public void Rows_are_bounded_and_reused()
    {
        using var harness = new SchedulerHarness(maxSeqs: 2);
        Request first = harness.Add(promptLength: 3, maxTokens: 1);
        Request second = harness.Add(promptLength: 3, maxTokens: 5);
        Request third = harness.Add(promptLength: 3, maxTokens: 5);
        StepPlan plan = harness.Submit()!;
        int row = first.Row;
        Assert.Equal([first, second], harness.Admitted);
        Assert.Equal(2, plan.Rows.Count);
        harness.Collect();
        Assert.Equal(RequestStatus.Finished, first.Status);
        harness.Step();
        Assert.Equal(row, third.Row);
        harness.Drain();
        Assert.Equal(0, harness.Pool.Used);
    }

    [Fact]
    public void A_request_that_does_not_fit_is_passed_a_bounded_number_of_times()
    {
        using var harness = new SchedulerHarness(numBlocks: 9, blockSize: 4, maxSeqs: 2);
        Request running = harness.Add(promptLength: 17, maxTokens: 12);
        harness.Step();
        // 5 of 8 blocks are used: the large prompt does not fit, the small ones do, two at a time.
        Request large = harness.Add(promptLength: 16, maxTokens: 2);
        List<Request> small = [.. Enumerable.Range(0, 24).Select(_ => harness.Add(promptLength: 1, maxTokens: 1))];
        harness.Drain();
        int passed = small.Count(request => request.Timings.LastToken < large.Timings.FirstToken);
        Assert.InRange(passed, 1, 16);
        Assert.All(small.Append(large).Append(running), request => Assert.Equal(RequestStatus.Finished, request.Status));
    }

    [Fact]
    public void Nobody_passes_a_request_any_more_that_was_passed_as_often_as_may_be()
    {
        using var harness = new SchedulerHarness(numBlocks: 9, blockSize: 4, maxSeqs: 2);
        harness.Add(promptLength: 17, maxTokens: 12);
        harness.Step();
        Request large = harness.Add(promptLength: 16, maxTokens: 2);
        large.Overtaken = 16;
        Request small = harness.Add(promptLength: 1, maxTokens: 1);
        harness.Step();
        Assert.Equal((RequestStatus.Waiting, RequestStatus.Waiting), (large.Status, small.Status));
        large.Overtaken = 15;
        harness.Step();
        Assert.Equal((RequestStatus.Waiting, RequestStatus.Finished, 16), (large.Status, small.Status, large.Overtaken));
    }

    [Fact]
    public void Min_tokens_bans_every_stop_until_it_is_reached()
    {
        using var harness = new SchedulerHarness();
        var parameters = new SamplingParams { Temperature = 0, MinTokens = 2 };
        Request other = harness.Add(promptLength: 2, maxTokens: 9);
        Request request = harness.Add([1, 2, 3], maxTokens: 5, parameters, stopIds: [3, 9]);
        LogitEdit[] expected = [new(1, 3, float.NegativeInfinity), new(1, 9, float.NegativeInfinity)];
        Assert.Equal(expected, harness.Step().LogitEdits.Span.ToArray());
        Assert.Equal(expected, harness.Step().LogitEdits.Span.ToArray());
        Assert.Equal(0, harness.Step().LogitEdits.Count);
        Assert.Equal(3, request.OutputLength);
        Assert.Equal(3, other.OutputLength);
    }

    [Fact]
    public void A_chunk_inside_a_prompt_samples_nothing_and_bans_nothing()
    {
        using var harness = new SchedulerHarness(budget: 4);
        Request request = harness.Add([1, 2, 3, 4, 5, 6], 3, new SamplingParams { Temperature = 0, MinTokens = 2, Logprobs = 3 }, [3]);
        StepPlan chunk = harness.Step();
        Assert.Equal((0, 0, -1), (chunk.NumLogits, chunk.LogitEdits.Count, chunk.MaxTopLogprobs));
        Assert.Equal((4, 4, 0), (request.Computed, request.Scheduled, request.OutputLength));
        StepPlan rest = harness.Step();
        Assert.Equal((1, 1, 3), (rest.NumLogits, rest.LogitEdits.Count, rest.MaxTopLogprobs));
        Assert.Equal([5, 6], rest.TokenIds.Span.ToArray());
    }

    [Fact]
    public void A_step_pays_only_for_what_its_sampling_rows_use()
    {
        using var harness = new SchedulerHarness();
        harness.Add(promptLength: 2, maxTokens: 9);
        StepPlan greedy = harness.Step();
        Assert.True(greedy.AllGreedy && !greedy.AnyPenalties && greedy.MaxTopLogprobs == -1);
        Request penalized = harness.Add([1, 2], 1, new SamplingParams { Temperature = 0.001f, FrequencyPenalty = 1, Logprobs = 0 });
        StepPlan both = harness.Submit()!;
        Assert.True(!both.AllGreedy && both.AnyPenalties && both.MaxTopLogprobs == 0);
        SamplingUpdate update = both.SamplingUpdates[0];
        Assert.Equal((penalized.Row, penalized.CountSlot, 0.01f), (update.Row, update.CountSlot, update.Temperature));
        Assert.Equal([1, 2], update.Tokens.Span.ToArray());
        harness.Collect();
        StepPlan after = harness.Step();
        Assert.True(after.AllGreedy && !after.AnyPenalties && after.MaxTopLogprobs == -1);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(1, 1)]
    [InlineData(5, 0)]
    [InlineData(5, 1)]
    public void Aborting_gives_everything_back_at_every_phase(int steps, int inFlight)
    {
        using var harness = new SchedulerHarness(budget: 6, stepsInFlight: 2);
        Request request = harness.Add(promptLength: 15, maxTokens: 9);
        for (int i = 0; i < steps; i++)
        {
            harness.Step();
        }

        if (inFlight > 0)
        {
            Assert.NotNull(harness.Submit());
        }

        int used = harness.Pool.Used;
        harness.End(request);
        // Blocks stay while a step in flight writes to them.
        Assert.Equal(inFlight > 0 ? used : 0, harness.Pool.Used);
        Assert.False(harness.Scheduler.HasWork);
        if (inFlight > 0)
        {
            harness.Collect();
        }

        Assert.Equal(0, harness.Pool.Used);
        Assert.Equal(FinishReason.Abort, SchedulerHarness.StateOf(request).Finish);
        // Ending twice is nothing.
        harness.End(request, FinishReason.Stop);
        Assert.Equal(FinishReason.Abort, SchedulerHarness.StateOf(request).Finish);
    }

    [Fact]
    public void A_stop_token_ends_the_request_and_stays_in_its_ids()
    {
        using var harness = new SchedulerHarness();
        int[] prompt = FakeLanguage.Prompt(3, 5);
        int[] free = FakeLanguage.Complete(prompt, 12, 0, []).Ids;
        int stop = free[6];
        int length = Array.IndexOf(free, stop) + 1;
        Request request = harness.Add(prompt, 12, stopIds: [stop]);
        harness.Drain();
        Assert.Equal(free[..length], SchedulerHarness.OutputOf(request));
        Assert.Equal(new MailboxState(FinishReason.Stop, stop, null), SchedulerHarness.StateOf(request));
    }

    private static (int Row, int Tokens, int Logits)[] Rows(StepPlan plan) =>
        [.. plan.Rows.Span.ToArray().Select(row => (row.Row, row.QueryLength, row.LogitCount))];
}
