using VllmNative.Diagnostics;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Measured transfers replace what was assumed.</summary>
public sealed class SwapBandwidthTests
{
    [Fact]
    public void The_first_transfer_replaces_the_assumption()
    {
        var bandwidth = new SwapBandwidth(10e9);
        Assert.Equal(10e9, bandwidth.BytesPerSecond);
        bandwidth.Observe(1000, 0.001);
        Assert.Equal(1e6, bandwidth.BytesPerSecond, 1e-3);
        Assert.Equal(10e9, bandwidth.AssumedBytesPerSecond);
    }

    [Fact]
    public void Totals_forget_nothing()
    {
        var bandwidth = new SwapBandwidth(10e9);
        bandwidth.Observe(1000, 0.25);
        bandwidth.Observe(500, 0.5);
        bandwidth.Observe(0, 1);
        Assert.Equal((1500, 0.75), (bandwidth.TotalBytes, bandwidth.TotalSeconds));
    }

    [Fact]
    public void Recent_transfers_count_more_and_large_ones_too()
    {
        var bandwidth = new SwapBandwidth(10e9);
        for (int i = 0; i < 100; i++)
        {
            bandwidth.Observe(1 << 20, 1);
        }

        // A small one is mostly latency.
        bandwidth.Observe(16, 0.001);
        Assert.Equal(1 << 20, bandwidth.BytesPerSecond, (1 << 20) * 0.001);
        for (int i = 0; i < 22; i++)
        {
            bandwidth.Observe(2 << 20, 1);
        }

        Assert.InRange(bandwidth.BytesPerSecond, 1.85 * (1 << 20), 2 << 20);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(-5, 1)]
    [InlineData(5, 0)]
    [InlineData(5, -1)]
    [InlineData(5, double.NaN)]
    [InlineData(5, double.PositiveInfinity)]
    public void What_cannot_be_is_ignored(long bytes, double seconds)
    {
        var bandwidth = new SwapBandwidth(10e9);
        bandwidth.Observe(bytes, seconds);
        Assert.Equal(10e9, bandwidth.BytesPerSecond);
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    public void An_assumption_that_cannot_be_is_refused(double rate, string text)
    {
        var error = Assert.Throws<VllmException>(() => new SwapBandwidth(rate));
        Assert.Equal($"swap bandwidth: assumedBytesPerSecond is {text}, expected a finite number above 0", error.Message);
    }

    [Fact]
    public void Nothing_is_allocated()
    {
        var bandwidth = new SwapBandwidth(10e9);
        bandwidth.Observe(1000, 1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        bandwidth.Observe(1000, 1);
        double rate = bandwidth.BytesPerSecond;
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(1000, rate, 1e-9);
    }
}
