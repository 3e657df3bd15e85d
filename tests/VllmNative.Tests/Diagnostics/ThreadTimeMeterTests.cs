using System.Diagnostics;
using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Diagnostics;

/// <summary>Processor time of a loop's thread.</summary>
public sealed class ThreadTimeMeterTests
{
    [Fact]
    public void WorkIsCounted_WaitingIsNot()
    {
        var meter = new ThreadTimeMeter();
        Assert.Null(meter.SteadyMicroseconds);
        meter.EndIteration(changing: false);
        Thread.Sleep(50);
        meter.EndIteration(changing: false);
        Assert.InRange(meter.SteadyNanoseconds, 0, 20_000_000);

        // Of this thread's own time, however busy the machine is.
        long before = meter.SteadyNanoseconds;
        var watch = Stopwatch.StartNew();
        while (meter.SteadyNanoseconds - before < 5_000_000)
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30), "a busy thread takes no processor time");
            meter.EndIteration(changing: false);
        }

        Assert.Equal(meter.SteadyNanoseconds / 1e3 / meter.SteadyIterations, meter.SteadyMicroseconds);
    }

    [Fact]
    public void ChangingIterations_AndThoseBeforeAReset_DoNotCount()
    {
        var meter = new ThreadTimeMeter();
        meter.EndIteration(changing: true);
        meter.EndIteration(changing: false);
        meter.EndIteration(changing: true);
        Assert.Equal(1, meter.SteadyIterations);
        meter.Reset();
        meter.EndIteration(changing: false);
        Assert.Equal(0, meter.SteadyIterations);
        meter.EndIteration(changing: false);
        Assert.Equal(1, meter.SteadyIterations);
    }
}
