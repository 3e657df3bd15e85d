using VllmNative.Bench.Serving;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tests.Engine;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>Who runs beside whom when a workload is measured.</summary>
public sealed class WorkloadRunTests
{
    // Each of the second of three ends long before the others of its batch.
    private static readonly Workload Work = new("w", [.. Enumerable.Range(0, 12).Select(i => (Prompt: 5 + i, Output: i % 3 == 1 ? 2 : 20))]);

    [Fact]
    public void StaticBatches_AreWholeAndFollowEachOther()
    {
        using var context = ServingContext.Open(TestEngines.Tiny with { Scheduler = EngineOptions.StaticScheduler, MaxModelLen = 64, EnablePrefixCaching = false });
        context.Engine.Core.Scheduler.MostRunning = 3;
        RequestTimings[] timings = TimingsOf(WorkloadRun.AllWaiting(context, Work));
        foreach (RequestTimings[] batch in timings.Chunk(3))
        {
            Assert.Equal(batch[0].Scheduled, batch.Min(timing => timing.Scheduled));
            // Nobody waits for a place that the one that ended early had.
            Assert.True(batch.Max(timing => timing.Scheduled) <= batch.Min(timing => timing.LastToken));
        }

        Assert.All(timings.Chunk(3).Zip(timings.Chunk(3).Skip(1)), pair => Assert.True(pair.First.Max(timing => timing.LastToken) <= pair.Second.Min(timing => timing.Scheduled)));
    }

    [Fact]
    public void ContinuousBatching_GivesAPlaceOnAsSoonAsItIsFree()
    {
        using var context = ServingContext.Open(TestEngines.Tiny with { EnablePrefixCaching = false });
        context.Engine.Core.Scheduler.MostRunning = 3;
        RequestTimings[] timings = TimingsOf(WorkloadRun.AllWaiting(context, Work));
        // The fourth has the place of the second, which ended early.
        Assert.InRange(timings[3].Scheduled, timings[1].FirstToken, Math.Min(timings[0].LastToken, timings[2].LastToken));
        Assert.All(timings, at => Assert.True(timings.Count(other => other.Scheduled <= at.Scheduled && other.LastToken > at.Scheduled) <= 3));
    }

    private static RequestTimings[] TimingsOf(WorkloadRun run) => [.. run.Outputs.Select(output => output.Timings)];
}
