using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>What a plan says happened, beside its rows.</summary>
public sealed class StepEventTests
{
    [Fact]
    public void Who_comes_and_who_has_ended_stands_in_the_next_step()
    {
        using var harness = new SchedulerHarness();
        Request first = harness.Add(promptLength: 5, maxTokens: 2);
        Request second = harness.Add(promptLength: 3, maxTokens: 5);
        Assert.Equal([new StepEvent(StepEventKind.Admitted, first.Id, 0), new StepEvent(StepEventKind.Admitted, second.Id, 0)], EventsOf(harness.Step()));
        Assert.Empty(EventsOf(harness.Step()));
        Assert.Equal([new StepEvent(StepEventKind.Finished, first.Id, 2)], EventsOf(harness.Step()));
        harness.End(second);
        // Nothing is computed, so nothing is told: it waits for the next step.
        Assert.Null(harness.Submit());
        Request third = harness.Add(promptLength: 3, maxTokens: 1);
        Assert.Equal([new StepEvent(StepEventKind.Finished, second.Id, 3), new StepEvent(StepEventKind.Admitted, third.Id, 0)], EventsOf(harness.Step()));
    }

    [Fact]
    public void A_hit_and_what_gives_way_are_told()
    {
        // 6 blocks of 4.
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4, prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 12);
        harness.Add(prompt, maxTokens: 1);
        harness.Drain();
        Request same = harness.Add(prompt, maxTokens: 1);
        StepEvent[] events = EventsOf(harness.Step());
        Assert.Equal([StepEventKind.Finished, StepEventKind.PrefixHit, StepEventKind.Admitted], events.Select(happened => happened.Kind));
        Assert.Equal((same.Id, 8), (events[1].RequestId, events[1].Count));
        Assert.Equal((same.Id, 8), (events[2].RequestId, events[2].Count));

        // Four blocks are not cached or need not be.
        long before = harness.Pool.Evictions;
        harness.Add(FakeLanguage.Prompt(2, 23), maxTokens: 1);
        events = EventsOf(harness.Step());
        Assert.Equal(new StepEvent(StepEventKind.Evicted, 0, (int)(harness.Pool.Evictions - before)), Assert.Single(events, happened => happened.Kind == StepEventKind.Evicted));
        Assert.True(harness.Pool.Evictions > before);
    }

    [Fact]
    public void Preemption_and_swaps_are_told()
    {
        using var harness = new SchedulerHarness(numBlocks: 7, blockSize: 4, setup: new SchedulerSetup { Preemption = PreemptionMode.Swap, SwapBlocks = 8, BlockBytes = 64 });
        harness.Add(promptLength: 8, maxTokens: 10);
        Request second = harness.Add(promptLength: 8, maxTokens: 10);
        List<StepEvent> events = [];
        while (harness.Scheduler.HasWork && harness.Submit() is { } plan)
        {
            events.AddRange(EventsOf(plan));
            harness.Collect();
        }

        Assert.Equal(harness.Scheduler.Preemptions, events.Count(happened => happened.Kind == StepEventKind.Preempted));
        Assert.Equal(harness.Scheduler.Swap!.SwappedOut, events.Count(happened => happened.Kind == StepEventKind.SwappedOut));
        Assert.Equal(harness.Scheduler.Swap!.SwappedIn, events.Count(happened => happened.Kind == StepEventKind.SwappedIn));
        Assert.True(harness.Scheduler.Swap!.SwappedIn > 0);
        Assert.All(events.Where(happened => happened.Kind is StepEventKind.Preempted or StepEventKind.SwappedOut or StepEventKind.SwappedIn), happened => Assert.Equal((second.Id, true), (happened.RequestId, happened.Count > 0)));
    }

    private static StepEvent[] EventsOf(StepPlan plan) => plan.Events.Span.ToArray();
}
