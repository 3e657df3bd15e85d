using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Recompute or swap, by what each is predicted to cost.</summary>
public sealed class PreemptionCostTests
{
    private const long BytesPerToken = 128 << 10;

    // 10 ms a step, 1 ms more with prefill, 20 us a token, 1 ns a pair.
    private static readonly StepTimeModel Model = new(new StepTimeCoefficients(0.010, 0.001, 0, 20e-6, 0, 1e-9));

    [Fact]
    public void Recomputing_costs_what_the_chunks_add_to_steps_that_run_anyway()
    {
        var cost = new PreemptionCost(Model, new SwapBandwidth(1e9), 2048);
        // 2048 + 2048 + 904 tokens: three steps with prefill; 5000 tokens attend to half of 5000 x 5000 pairs.
        Assert.Equal((3 * 0.001) + (5000 * 20e-6) + (12.5e6 * 1e-9), cost.RecomputeSeconds(5000, 0), 1e-9);
        // Behind 4000 cached tokens: one chunk.
        Assert.Equal(0.001 + (1000 * 20e-6) + (4.5e6 * 1e-9), cost.RecomputeSeconds(5000, 4000), 1e-9);
        Assert.Equal(0, cost.RecomputeSeconds(5000, 5000));
    }

    [Fact]
    public void Swapping_pays_both_ways() =>
        Assert.Equal(2 * 5e8 / 1e9, new PreemptionCost(Model, new SwapBandwidth(1e9), 2048).SwapSeconds(500_000_000), 1e-12);

    // 4096 tokens: 0.092 s to recompute; 0.5 GiB to move twice: 0.107 s at 10 GB/s.
    [Theory]
    [InlineData(10e9, 0, false)]
    [InlineData(12e9, 0, true)]
    [InlineData(12e9, 2048, false)]
    [InlineData(1e12, 4096, false)]
    public void The_cheaper_one_is_taken(double rate, int cached, bool swaps) =>
        Assert.Equal(swaps, new PreemptionCost(Model, new SwapBandwidth(rate), 2048).ShouldSwap(4096, cached, 4096 * BytesPerToken, hostHasRoom: true));

    [Fact]
    public void A_measured_rate_changes_the_choice()
    {
        var bandwidth = new SwapBandwidth(10e9);
        var cost = new PreemptionCost(Model, bandwidth, 2048);
        Assert.False(cost.ShouldSwap(4096, 0, 4096 * BytesPerToken, hostHasRoom: true));
        bandwidth.Observe(25_000_000_000, 1);
        Assert.True(cost.ShouldSwap(4096, 0, 4096 * BytesPerToken, hostHasRoom: true));
    }

    [Fact]
    public void Without_room_or_a_model_it_is_recomputed()
    {
        Assert.False(new PreemptionCost(Model, new SwapBandwidth(1e12), 2048).ShouldSwap(4096, 0, 4096, hostHasRoom: false));
        var learning = new StepTimeModel();
        var cost = new PreemptionCost(learning, new SwapBandwidth(1e12), 2048);
        StepLoad decode = default(StepLoad).With(1, 100);
        for (int step = 0; step < 12; step++)
        {
            Assert.False(cost.ShouldSwap(4096, 0, 4096, hostHasRoom: true));
            learning.Observe(decode, 0.01);
            learning.Observe(decode.With(256, 256), 0.02);
        }

        Assert.True(cost.ShouldSwap(4096, 0, 4096, hostHasRoom: true));
    }

    [Fact]
    public void Choosing_allocates_nothing()
    {
        var cost = new PreemptionCost(Model, new SwapBandwidth(12e9), 2048);
        cost.ShouldSwap(4096, 0, 4096, hostHasRoom: true);
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool swaps = cost.ShouldSwap(100_000, 0, 4096, hostHasRoom: true);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(swaps);
    }
}
