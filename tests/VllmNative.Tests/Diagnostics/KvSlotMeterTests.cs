using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Diagnostics;

/// <summary>Shares of steps that were counted.</summary>
public sealed class KvSlotMeterTests
{
    [Fact]
    public void SharesAreOfAllSteps()
    {
        var meter = new KvSlotMeter();
        Assert.Null(meter.WastedShare);
        Assert.Null(meter.WastedByExactRows);
        // Two requests of 10 and 20 tokens in blocks of 16, then one of 32; all end at 40.
        meter.Add(48, 18, 2, 30, 80);
        meter.Add(32, 0, 1, 32, 40);
        Assert.Equal(18 / 80.0, meter.WastedShare);
        Assert.Equal(1 - (62 / 120.0), meter.WastedByExactRows!.Value, 9);
        Assert.Equal(1 - (62 / 300.0), meter.WastedByRowsOf(100)!.Value, 9);
    }

    [Fact]
    public void Reset_ForgetsBeforeTheNextStep()
    {
        var meter = new KvSlotMeter();
        meter.Add(48, 18, 2, 30, 80);
        meter.Reset();
        meter.Add(32, 8, 1, 24, 40);
        Assert.Equal((32, 8, 1, 24, 40), (meter.OwnedSlots, meter.WastedSlots, meter.Rows, meter.Tokens, meter.FinalTokens));
    }
}
