using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Whom a waiting request of higher priority interrupts, and that it is nobody without need.</summary>
public sealed class InterruptionTests
{
    [Fact]
    public void Who_fits_with_what_is_cached_interrupts_nobody()
    {
        // Blocks of 4: a prompt of 20 blocks that are cached and shared by one that runs, another one of 12 with its tokens.
        using var harness = new SchedulerHarness(numBlocks: 41, maxSeqs: 4, budget: 128, prefixCaching: true, setup: Priority());
        int[] system = FakeLanguage.Prompt(1, 80);
        Request low = harness.Add([.. system, 1], 40, scheduling: Of(5));
        harness.Step();
        Request other = harness.Add(FakeLanguage.Prompt(2, 40), 20, scheduling: Of(6));
        harness.Step();
        Request urgent = harness.Add([.. system, 2, 3], 4, scheduling: Of(-1));
        harness.Step();
        Assert.Equal(80, urgent.CachedTokens);
        Assert.Equal((0, 0), (low.Preemptions, other.Preemptions));
        harness.Drain();
    }

    [Fact]
    public void Blocks_on_their_way_to_the_host_are_enough()
    {
        // Two of 8 blocks; the urgent one needs as many, which is one's.
        using var harness = new SchedulerHarness(numBlocks: 19, maxSeqs: 4, stepsInFlight: 2, setup: Priority() with { SwapBlocks = 32, Preemption = PreemptionMode.Swap });
        Request[] low = [harness.Add(FakeLanguage.Prompt(1, 30), 8, scheduling: Of(5)), harness.Add(FakeLanguage.Prompt(2, 30), 8, scheduling: Of(6))];
        harness.Step();
        Request urgent = harness.Add(FakeLanguage.Prompt(3, 30), 1, scheduling: Of(-1));
        while (urgent.Status != RequestStatus.Finished)
        {
            harness.Turn();
        }

        Assert.Equal((0, 1), (low[0].Preemptions, low[1].Preemptions));
        harness.Drain();
    }

    [Fact]
    public void Who_interrupts_begins_with_what_that_frees()
    {
        // Four that rank before it have 12 blocks, another one 8; it needs these and the last 2.
        using var harness = new SchedulerHarness(numBlocks: 23, blockSize: 16, maxSeqs: 6, budget: 256, setup: Priority() with { SwapBlocks = 32, Preemption = PreemptionMode.Swap });
        Request[] first = [.. Enumerable.Range(0, 4).Select(i => harness.Add(FakeLanguage.Prompt(i, 33), 15, scheduling: Of(-5)))];
        harness.Step();
        Request low = harness.Add(FakeLanguage.Prompt(5, 120), 8, scheduling: Of(6));
        harness.Step();
        Request urgent = harness.Add(FakeLanguage.Prompt(6, 156), 4, scheduling: Of(-1));
        while (urgent.Status != RequestStatus.Running)
        {
            harness.Turn();
        }

        Assert.Equal(1, low.Preemptions);
        Assert.All(first, request => Assert.Equal(RequestStatus.Running, request.Status));
        harness.Drain();
    }

    [Fact]
    public void A_search_that_needs_several_rows_interrupts_as_many()
    {
        using var harness = new SchedulerHarness(numBlocks: 64, maxSeqs: 4, setup: Priority());
        Request[] low = [.. Enumerable.Range(0, 4).Select(i => harness.Add(FakeLanguage.Prompt(i, 5), 200, scheduling: Of(5 + i)))];
        harness.Step();
        int[] prompt = [BeamReference.Marker, 1, 2];
        Func<int[], float[]?> others = harness.Device.Distribution;
        harness.Device.Distribution = tokens => tokens.AsSpan().StartsWith(prompt) ? BeamReference.Table(tokens, 4) : others(tokens);
        harness.AddBeams(prompt, 3, SamplingParams.Greedy with { UseBeamSearch = true, BestOf = 3 }, [], 4, Of(-1));
        harness.Turn();
        Assert.Equal([0, 1, 1, 1], low.Select(request => request.Preemptions));
        harness.Drain();
    }

    private static SchedulerSetup Priority() => new() { Policy = new PriorityPolicy() };

    private static RequestScheduling Of(int priority) => new() { Priority = priority };
}
