using VllmNative.Requests;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Two steps in flight: the second is planned before the first one's tokens are known.</summary>
public sealed class SchedulerAsyncTests
{
    [Fact]
    public void The_second_step_builds_on_a_token_that_only_the_device_has()
    {
        using var harness = new SchedulerHarness(stepsInFlight: 2);
        Request request = harness.Add(promptLength: 3, maxTokens: 5);
        harness.Submit();
        StepPlan second = harness.Submit()!;
        Assert.Equal((2, 0, 4), (request.Pending, request.OutputLength, request.Scheduled));
        Assert.Equal((-1, 4, 0), (second.Rows[0].FirstId, second.Rows[0].SequenceLength, second.TokenIds.Count));
        Assert.Null(harness.Submit());
        harness.Collect();
        Assert.Equal((1, 1, 3), (request.Pending, request.OutputLength, request.Computed));
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete(FakeLanguage.Prompt(1, 3), 5, 0, []).Ids, SchedulerHarness.OutputOf(request));
    }

    [Fact]
    public void Nothing_is_planned_behind_the_last_token()
    {
        using var harness = new SchedulerHarness(stepsInFlight: 2);
        Request request = harness.Add(promptLength: 3, maxTokens: 1);
        Assert.NotNull(harness.Submit());
        Assert.Null(harness.Submit());
        harness.Collect();
        Assert.Equal((FinishReason.Length, 0), (SchedulerHarness.StateOf(request).Finish, harness.Pool.Used));
    }

    [Fact]
    public void A_request_that_stops_while_a_step_is_in_flight_keeps_row_and_blocks_until_it_returns()
    {
        using var harness = new SchedulerHarness(maxSeqs: 1, stepsInFlight: 2);
        int[] prompt = FakeLanguage.Prompt(11, 4);
        int stop = FakeLanguage.Next(prompt);
        Request request = harness.Add(prompt, 5, stopIds: [stop]);
        Request next = harness.Add(promptLength: 3, maxTokens: 2);
        harness.Submit();
        harness.Submit();
        int row = request.Row;
        harness.Collect();
        Assert.Equal(RequestStatus.Finished, request.Status);
        Assert.Equal((row, 2), (request.Row, harness.Pool.Used));
        // The only row is not free yet.
        Assert.Null(harness.Submit());
        Assert.Equal(RequestStatus.Waiting, next.Status);
        harness.Collect();
        Assert.Equal((-1, 0), (request.Row, harness.Pool.Used));
        // The token of the wasted step is not the request's.
        Assert.Equal([stop], SchedulerHarness.OutputOf(request));
        harness.Drain();
        Assert.Equal(2, next.OutputLength);
    }

    [Fact]
    public void A_failed_step_ends_its_requests_and_what_the_next_step_did_for_them_is_dropped()
    {
        using var harness = new SchedulerHarness(stepsInFlight: 2);
        Request failing = harness.Add(promptLength: 8, maxTokens: 5);
        harness.Device.FailStep = plan => plan.StepId == 1 ? new InvalidOperationException("planned") : null;
        harness.Submit();
        Request healthy = harness.Add(promptLength: 4, maxTokens: 5);
        StepPlan behind = harness.Submit()!;
        Assert.Equal(2, behind.Rows.Count);
        harness.Collect();
        Assert.Equal((FinishReason.Error, "planned"), (SchedulerHarness.StateOf(failing).Finish, SchedulerHarness.StateOf(failing).Error));
        // Step 2 writes to its blocks.
        Assert.Equal(3 + 1, harness.Pool.Used);
        harness.Collect();
        Assert.Equal((1, 0), (harness.Pool.Used, failing.OutputLength));
        harness.Drain();
        Assert.Equal(FakeLanguage.Complete(FakeLanguage.Prompt(2, 4), 5, 0, []).Ids, SchedulerHarness.OutputOf(healthy));
    }

    [Fact]
    public void Min_tokens_counts_the_tokens_in_flight()
    {
        using var harness = new SchedulerHarness(stepsInFlight: 2);
        harness.Add([1, 2], 9, new SamplingParams { Temperature = 0, MinTokens = 2 }, [5]);
        Assert.Equal(1, harness.Submit()!.LogitEdits.Count);
        Assert.Equal(1, harness.Submit()!.LogitEdits.Count);
        harness.Collect();
        Assert.Equal(0, harness.Submit()!.LogitEdits.Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Words_are_banned_by_the_tokens_just_generated_however_many_steps_are_in_flight(int stepsInFlight)
    {
        using var harness = new SchedulerHarness(stepsInFlight: stepsInFlight);
        int[] prompt = FakeLanguage.Prompt(5, 9);
        int[] free = FakeLanguage.Complete(prompt, 30, 0, []).Ids;
        int[][] words = [[free[3], free[4]], [free[4], free[5], free[6]], [free[9]], [free[0], free[1], free[2]]];
        var request = new Request(1, prompt, SamplingParams.Greedy, 30, [], harness.BlockSize, seed: 0) { Rules = new LogitRules { BadWords = words } };
        Request beside = harness.Add(FakeLanguage.Prompt(6, 5), 30);
        harness.Scheduler.Add(request);
        harness.Drain();

        List<int> tokens = [.. prompt];
        for (int i = 0; i < 30; i++)
        {
            int[] output = [.. tokens.Skip(prompt.Length)];
            tokens.Add(FakeLanguage.Next(tokens.ToArray(), id => words.Any(word => word[^1] == id && output.AsSpan().EndsWith(word.AsSpan(0, word.Length - 1)))));
        }

        Assert.Equal(tokens.Skip(prompt.Length), SchedulerHarness.OutputOf(request));
        Assert.NotEqual(free, SchedulerHarness.OutputOf(request));
        Assert.Equal(FakeLanguage.Complete(FakeLanguage.Prompt(6, 5), 30, 0, []).Ids, SchedulerHarness.OutputOf(beside));
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 4)]
    [InlineData(2, 7)]
    public void Prompts_are_scored_in_chunks_of_the_logits_that_a_step_has(int stepsInFlight, int maxLogits)
    {
        using var harness = new SchedulerHarness(stepsInFlight: stepsInFlight, maxLogits: maxLogits);
        SamplingParams scored = SamplingParams.Greedy with { PromptLogprobs = 0 };
        Request[] requests = [.. Enumerable.Range(0, 9).Select(i => harness.Add(FakeLanguage.Prompt(i, 1 + (i * 4)), 6, i % 3 == 2 ? null : scored))];
        harness.Device.FailStep = plan => plan.NumLogits <= maxLogits ? null : throw new InvalidOperationException($"{plan.NumLogits} rows of logits");
        harness.Drain();
        foreach (Request request in requests)
        {
            int[] prompt = request.Tokens.Span[..request.PromptLength].ToArray();
            Assert.Equal(FakeLanguage.Complete(prompt, 6, 0, []).Ids, SchedulerHarness.OutputOf(request));
            for (int i = 0; request.PromptLogprobs is { } logprobs && i < prompt.Length - 1; i++)
            {
                Assert.Equal(FakeLanguage.Logprob(prompt[i + 1]), logprobs.At(i));
            }
        }
    }

    [Fact]
    public void A_fork_of_what_a_step_in_flight_computes_is_computed_again_when_that_fails()
    {
        using var harness = new SchedulerHarness(numBlocks: 20, blockSize: 8, stepsInFlight: 2);
        harness.Device.FailStep = plan => plan.StepId == 1 ? new InvalidOperationException("planned") : null;
        Request parent = harness.Add(5, 10);
        harness.Submit();
        Request fork = harness.Fork(parent, 6, extraToken: 9);
        // The parent copies the block that both have begun, and leaves it to the fork.
        Assert.Equal(1, harness.Submit()!.BlockCopies.Count);
        harness.Drain();
        Assert.Equal(FinishReason.Error, SchedulerHarness.StateOf(parent).Finish);
        Assert.Equal(FakeLanguage.Complete(fork.Tokens.Span[..6], 6, 0, []).Ids, SchedulerHarness.OutputOf(fork));
        Assert.Equal(0, harness.Pool.Used);
    }
}
