using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>In which order the policies serve, and that nobody waits for ever.</summary>
public sealed class PolicyTests
{
    [Fact]
    public void Priority_serves_lower_values_first_then_arrival()
    {
        using SchedulerHarness harness = OneAtATime("priority");
        Request[] requests = [.. new[] { 1, 0, 1, -3, 0 }.Select(priority => Add(harness, priority))];
        Assert.Equal([3, 1, 4, 0, 2], Order(harness, requests));
    }

    [Fact]
    public void A_minute_of_waiting_is_worth_one_of_priority()
    {
        using SchedulerHarness harness = OneAtATime("priority");
        Request[] requests = [Add(harness, 1, queuedAt: 0), Add(harness, 0, queuedAt: 59), Add(harness, 0, queuedAt: 61)];
        Assert.Equal([1, 0, 2], Order(harness, requests));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_request_of_higher_priority_interrupts_a_running_one(int stepsInFlight)
    {
        using var harness = new SchedulerHarness(maxSeqs: 2, stepsInFlight: stepsInFlight, setup: new SchedulerSetup { Policy = new PriorityPolicy() });
        Request[] running = [Add(harness, 0, maxTokens: 30), Add(harness, 5, maxTokens: 30)];
        harness.Turn();
        harness.Turn();
        Request urgent = Add(harness, -1, maxTokens: 2);
        for (int turn = 0; turn < 8 && urgent.Status != RequestStatus.Finished; turn++)
        {
            harness.Turn();
        }

        Assert.Equal((RequestStatus.Finished, 0, 1), (urgent.Status, running[0].Preemptions, running[1].Preemptions));
        harness.Drain();
        Assert.All(running, request => Assert.Equal(FakeLanguage.Complete(request.Tokens.Span[..request.PromptLength], 30, 0, []).Ids, SchedulerHarness.OutputOf(request)));
    }

    [Fact]
    public void The_place_of_an_interrupted_request_is_taken_in_the_same_step()
    {
        using var harness = new SchedulerHarness(maxSeqs: 2, maxLogits: 2, setup: new SchedulerSetup { Policy = new PriorityPolicy() });
        Request[] running = [Add(harness, 0, maxTokens: 30), Add(harness, 5, maxTokens: 30)];
        harness.Turn();
        Request urgent = Add(harness, -1, maxTokens: 2);
        harness.Submit();
        Assert.Equal([urgent], harness.Admitted);
        Assert.Equal(1, running[1].Preemptions);
        harness.Collect();
        harness.Drain();
    }

    [Fact]
    public void A_request_is_interrupted_a_bounded_number_of_times()
    {
        using var harness = new SchedulerHarness(maxSeqs: 1, setup: new SchedulerSetup { Policy = new PriorityPolicy() });
        Request patient = Add(harness, 1, maxTokens: 60);
        harness.Turn();
        for (int turn = 0; turn < 90; turn++)
        {
            if (turn % 3 == 0)
            {
                Add(harness, 0, maxTokens: 1);
            }

            harness.Turn();
        }

        harness.Drain();
        Assert.Equal(16, patient.Preemptions);
    }

    [Fact]
    public void Fair_users_alternate_whatever_they_send()
    {
        using SchedulerHarness harness = OneAtATime("fair");
        // One user floods, another sends two requests.
        Request[] flood = [.. Enumerable.Range(0, 6).Select(_ => AddOf(harness, "flood"))];
        Request[] few = [.. Enumerable.Range(0, 2).Select(_ => AddOf(harness, "few"))];
        int[] order = Order(harness, [.. flood, .. few]);
        Assert.Equal([0, 6, 1, 7, 2, 3, 4, 5], order);
    }

    [Fact]
    public void A_user_of_twice_the_weight_is_served_twice_as_often()
    {
        using var harness = new SchedulerHarness(maxSeqs: 1, setup: new SchedulerSetup { Policy = new FairPolicy(new Dictionary<string, double> { ["a"] = 2 }) });
        Request[] requests = [.. Enumerable.Range(0, 12).Select(i => AddOf(harness, i < 6 ? "a" : "b"))];
        int[] order = Order(harness, requests);
        Assert.Equal(4, order.Take(6).Count(i => i < 6));
    }

    [Fact]
    public void Users_that_are_not_ahead_are_forgotten()
    {
        var policy = new FairPolicy();
        for (int i = 0; i < 20_000; i++)
        {
            var request = new Request(i, [1], SamplingParams.Greedy, 4, [], 4, 0) { Scheduling = new RequestScheduling { User = $"user {i}" } };
            request.Rank = policy.RankOf(request);
            policy.NoteAdmitted(request);
        }

        Assert.InRange(policy.UsersAhead, 0, 4096);
    }

    [Fact]
    public void The_shortest_is_served_first_and_the_prediction_learns()
    {
        var policy = new ShortestPredictedPolicy();
        using var harness = new SchedulerHarness(maxSeqs: 1, setup: new SchedulerSetup { Policy = policy });
        Request[] requests = [.. new[] { 30, 3, 12 }.Select(maxTokens => harness.Add(promptLength: 2, maxTokens))];
        Assert.Equal([1, 2, 0], Order(harness, requests));
        // All of them used up their bound.
        Assert.True(policy.OutputShare > 0.55, $"{policy.OutputShare}");
        double learned = policy.OutputShare;
        policy.NoteFinished(new Request(9, [1, 2], SamplingParams.Greedy, 1, [], 4, 0) { Pooling = new HiddenPooling(PoolingType.Mean, 2) });
        harness.End(harness.Add(promptLength: 2, maxTokens: 30));
        Assert.Equal(learned, policy.OutputShare);
    }

    [Theory]
    [InlineData("fcfs")]
    [InlineData("priority")]
    [InlineData("fair")]
    [InlineData("shortest-predicted")]
    public void Under_a_stream_of_better_requests_everybody_is_served(string policy)
    {
        // More of them than rows at any time, and each of them would be served before it but for the time that it has waited.
        using var harness = new SchedulerHarness(maxSeqs: 2, setup: new SchedulerSetup { Policy = SchedulingPolicies.Create(policy) });
        double now = 0;
        Enter();
        harness.Turn();
        var poor = harness.Add(FakeLanguage.Prompt(1, 40), 20, scheduling: new RequestScheduling { Priority = 1, User = "poor" }, queuedAt: now);
        for (int turn = 0; turn < 2000 && poor.Status != RequestStatus.Finished; turn++)
        {
            now += 0.1;
            Enter();
            harness.Turn();
            Assert.True(harness.Scheduler.WaitingCount > 1, "the others were too few");
        }

        Assert.Equal(RequestStatus.Finished, poor.Status);
        harness.Drain();

        void Enter()
        {
            while (harness.Scheduler.WaitingCount < 10)
            {
                harness.Add(FakeLanguage.Prompt(harness.Requests.Count, 2), 1, scheduling: new RequestScheduling { User = "rich" }, queuedAt: now);
            }
        }
    }

    [Fact]
    public void To_fair_a_second_of_waiting_is_worth_a_hundred_tokens()
    {
        var policy = new FairPolicy();
        Assert.Equal(0, policy.RankOf(Of("a", 0)));
        Assert.Equal(50, policy.RankOf(Of("a", 0)), 9); // its user has asked for 50 tokens before
        Assert.Equal(49, policy.RankOf(Of("b", 0.49)), 9);
        Assert.Equal(51, policy.RankOf(Of("c", 0.51)), 9);

        static Request Of(string user, double queuedAt) => new(1, FakeLanguage.Prompt(1, 30), SamplingParams.Greedy, 20, [], 4, 0)
        {
            Scheduling = new RequestScheduling { User = user },
            QueuedAt = queuedAt,
        };
    }

    [Fact]
    public void Unknown_names_are_refused() => Assert.Throws<ArgumentOutOfRangeException>(() => SchedulingPolicies.Create("lifo"));

    private static SchedulerHarness OneAtATime(string policy) => new(maxSeqs: 1, setup: new SchedulerSetup { Policy = SchedulingPolicies.Create(policy) });

    private static Request Add(SchedulerHarness harness, int priority, int maxTokens = 1, double queuedAt = 0) =>
        harness.Add(FakeLanguage.Prompt(harness.Requests.Count, 3), maxTokens, scheduling: new RequestScheduling { Priority = priority }, queuedAt: queuedAt);

    private static Request AddOf(SchedulerHarness harness, string user) =>
        harness.Add(FakeLanguage.Prompt(harness.Requests.Count, 3), 1, scheduling: new RequestScheduling { User = user });

    // Indexes of the requests in the order in which they started.
    private static int[] Order(SchedulerHarness harness, Request[] requests)
    {
        List<int> order = [];
        while (harness.Turn())
        {
            order.AddRange(harness.Admitted.Select(request => Array.IndexOf(requests, request)).Where(i => !order.Contains(i)));
            harness.Admitted.Clear();
        }

        return [.. order];
    }
}
