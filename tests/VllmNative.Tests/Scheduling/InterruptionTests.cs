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
        for (int turn = 0; urgent.Status != RequestStatus.Finished; turn++)
        {
            Assert.True(turn < 100);
            harness.Turn();
        }

        Assert.Equal((0, 1), (low[0].Preemptions, low[1].Preemptions));
        harness.Drain();
    }

    [Fact]
    public void Who_interrupts_begins_although_others_grow_meanwhile()
    {
        // Four that rank before it have 12 blocks and grow to 16, each at another time; one behind it has 8. It needs 10: these and 2 of the 4 that are
        // left at first, of which 2 stay as a reserve.
        int interrupted = 0;
        for (int steps = 0; steps < 16; steps++)
        {
            using var harness = new SchedulerHarness(
                numBlocks: 25, blockSize: 16, maxSeqs: 6, budget: 256, stepsInFlight: 2, setup: Priority() with { SwapBlocks = 32, Preemption = PreemptionMode.Swap });
            Request[] first = [.. Enumerable.Range(0, 4).Select(i => harness.Add(FakeLanguage.Prompt(i, 33 + (4 * i)), 31 - (4 * i), scheduling: Of(-5)))];
            while (first[0].OutputLength < steps)
            {
                harness.Turn();
            }

            Request low = harness.Add(FakeLanguage.Prompt(5, 113), 15, scheduling: Of(6));
            harness.Turn();
            Request urgent = harness.Add(FakeLanguage.Prompt(6, 156), 4, scheduling: Of(-1));
            int turns = 0;
            for (int turn = 0; urgent.Status != RequestStatus.Running; turn++)
            {
                Assert.True(turn < 100);
                harness.Turn();
                turns += low.Preemptions > 0 ? 1 : 0;
            }

            interrupted += low.Preemptions;
            Assert.True(low.Preemptions == 0 || turns <= 5, $"interrupted after {steps} steps, begun {turns} turns later");
            harness.Drain();
        }

        Assert.True(interrupted > 3, $"{interrupted} times");
    }

    [Theory]
    [InlineData(48)]
    [InlineData(56)]
    public void Nobody_is_interrupted_for_one_that_does_not_fit_even_so(int prompt)
    {
        // 16 blocks of 4: two urgent ones have 2 each, one that can wait has 4. With those 4 the waiting one would have 12 for the 12 or 14 that it takes,
        // but those who stay keep one as a reserve.
        using var harness = new SchedulerHarness(numBlocks: 17, setup: Priority());
        Request[] urgent = [.. Enumerable.Range(1, 2).Select(i => Add(i, 6, 10, -1))];
        Request idle = Add(3, 13, 10, 1);
        harness.Step();
        Request waiting = Add(4, prompt, 2, 0);
        while (urgent[0].Status == RequestStatus.Running)
        {
            harness.Step();
        }

        Assert.Equal((0, 0), (idle.Preemptions, waiting.Overtaken));
        harness.Drain();

        Request Add(int text, int length, int maxTokens, int priority) => harness.Add(FakeLanguage.Prompt(text, length), maxTokens, scheduling: Of(priority));
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
