using VllmNative.Bench.Serving;
using VllmNative.Diagnostics;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>Which part of a run is steady, and what a step of it takes.</summary>
public sealed class SteadyDecodeTests
{
    private static readonly long Millisecond = TimeProvider.System.TimestampFrequency / 1000;

    [Fact]
    public void OnlyStepsInWhichAllRowsDecode_AreCounted()
    {
        // Steps of 10 ms while both decode; 50 ms before, 3 ms after the first row has ended.
        TokenArrivals first = Row(100, 150, 160, 170, 180);
        TokenArrivals last = Row(150, 160, 170, 180, 183);
        SteadyDecode steady = SteadyDecode.Of([first, last]);
        Assert.Equal(10, steady.MillisecondsPerToken, 6);
        Assert.Equal([10, 10, 10], steady.InterTokenMilliseconds.Select(gap => Math.Round(gap, 6)));
    }

    [Fact]
    public void OneRow_IsSteadyThroughout() => Assert.Equal(8, SteadyDecode.Of([Row(100, 107, 116)]).MillisecondsPerToken, 6);

    [Fact]
    public void ReadersThatComeALittleLate_ChangeNoStep()
    {
        TokenArrivals row = Row(100, 110, 120, 130);
        SteadyDecode steady = SteadyDecode.Of([row with { Arrivals = [.. row.Arrivals.Select(time => time + (2 * Millisecond))] }]);
        Assert.Equal(10, steady.MillisecondsPerToken, 6);
    }

    [Fact]
    public void RowsThatNeverDecodedTogether_AreAnError()
    {
        VllmException error = Assert.Throws<VllmException>(() => SteadyDecode.Of([Row(100, 110, 120), Row(500, 510, 520)]));
        Assert.StartsWith("no step had all 2 rows decoding", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("ask for more than 3 output tokens", error.Message, StringComparison.Ordinal);
    }

    // The engine has a token when its reader has it.
    private static TokenArrivals Row(params long[] milliseconds)
    {
        long[] times = [.. milliseconds.Select(time => time * Millisecond)];
        return new TokenArrivals(times, new RequestTimings { FirstToken = times[0], LastToken = times[^1] });
    }
}
