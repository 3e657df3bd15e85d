using VllmNative.Scheduling;
using VllmNative.Steps;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>A plan's counts.</summary>
public sealed class StepLoadTests
{
    [Fact]
    public void An_empty_plan_is_no_load() => Assert.Equal(default, StepLoad.Of(new StepPlan(4, 64)));

    [Fact]
    public void Decodes_and_prefills_are_counted_apart()
    {
        StepLoad load = StepLoad.Of(Plan());
        // 10 tokens behind 90: each attends to 90 and on average half of its own 10. 3 tokens from the start: half of 3 x 3.
        Assert.Equal(new StepLoad(Rows: 4, DecodeRows: 2, PrefillTokens: 13, KvTokens: 100 + 7, AttentionTokens: (10 * 95) + 4.5), load);
    }

    [Fact]
    public void Large_counts_do_not_overflow()
    {
        StepLoad load = default(StepLoad).With(1 << 20, 1 << 22).With(1, int.MaxValue).With(1, int.MaxValue);
        Assert.Equal(2L * int.MaxValue, load.KvTokens);
        Assert.Equal((double)(1 << 20) * ((1 << 22) - (1 << 19)), load.AttentionTokens);
    }

    [Fact]
    public void Counting_allocates_nothing()
    {
        StepPlan plan = Plan();
        StepLoad.Of(plan);
        long before = GC.GetAllocatedBytesForCurrentThread();
        StepLoad load = StepLoad.Of(plan);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(4, load.Rows);
    }

    private static StepPlan Plan()
    {
        var plan = new StepPlan(4, 64);
        plan.AddRow(new StepRow(0, 1, -1, 100, 1, -1));
        plan.AddRow(new StepRow(1, 10, 0, 100, 1, -1));
        plan.AddRow(new StepRow(2, 1, -1, 7, 1, -1));
        plan.AddRow(new StepRow(3, 3, 10, 3, 0, -1));
        return plan;
    }
}
