using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Simulation;
using Xunit;

namespace VllmNative.Tests.Simulation;

/// <summary>How long a simulated device takes for a step, as a trace's steps did.</summary>
public sealed class StepTimesTests
{
    // 6 ms for the weights, which hide the first 300 tokens, then 20 us a token: no linear law fits both ends.
    private static double Law(in StepLoad load) => Math.Max(6e-3, 20e-6 * (load.DecodeRows + load.PrefillTokens)) + (1e-9 * load.KvTokens);

    [Fact]
    public void Steps_of_every_size_take_on_average_what_they_took()
    {
        var random = new Random(7);
        StepLoad[] loads = [.. Enumerable.Range(0, 2000).Select(i => LoadOf(i, random))];
        var times = new StepTimes(TraceOf(loads));
        foreach (IGrouping<int, StepLoad> size in loads.GroupBy(load => load.PrefillTokens == 0 ? 0 : (int)Math.Log2(load.PrefillTokens)))
        {
            double recorded = size.Average(load => Law(load));
            double simulated = size.Select((load, i) => times.Of(load, i)).Average();
            Assert.InRange(simulated / recorded, 0.93, 1.07);
        }
    }

    [Fact]
    public void A_size_that_was_not_seen_takes_what_the_nearest_one_suggests()
    {
        var random = new Random(7);
        StepLoad[] loads = [.. Enumerable.Range(0, 2000).Select(i => LoadOf(i, random))];
        var times = new StepTimes(TraceOf([.. loads.Where(load => load.PrefillTokens is < 512 or >= 1024)]));
        StepLoad[] unseen = [.. loads.Where(load => load.PrefillTokens is >= 512 and < 1024)];
        Assert.InRange(unseen.Select((load, i) => times.Of(load, i)).Average() / unseen.Average(load => Law(load)), 0.7, 1.3);
        Assert.Equal(0, times.Of(default, 0));
    }

    [Fact]
    public void A_trace_without_prefill_says_what_decodes_take()
    {
        var random = new Random(3);
        StepLoad[] loads = [.. Enumerable.Range(0, 100).Select(_ => Decodes(random))];
        var times = new StepTimes(TraceOf(loads));
        Assert.InRange(loads.Select((load, i) => times.Of(load, i)).Average() / loads.Average(load => Law(load)), 0.98, 1.02);
        Assert.True(times.Of(loads[0].With(100, 100), 0) >= times.Of(loads[0], 0) / 1.1);
    }

    [Fact]
    public void A_trace_without_steps_is_refused()
    {
        var error = Assert.Throws<VllmException>(() => new StepTimes(TraceOf([])));
        Assert.Equal("the trace has no step that says how long steps take", error.Message);
    }

    // Mostly decodes; prefill of 16 to 8,191 tokens, all sizes alike.
    private static StepLoad LoadOf(int i, Random random)
    {
        int tokens = (int)Math.Pow(2, 4 + (9 * random.NextDouble()));
        return i % 4 == 0 ? Decodes(random).With(tokens, tokens) : Decodes(random);
    }

    private static StepLoad Decodes(Random random)
    {
        StepLoad load = default;
        for (int row = random.Next(1, 64); row > 0; row--)
        {
            load = load.With(1, random.Next(100, 4000));
        }

        return load;
    }

    private static RecordedTrace TraceOf(StepLoad[] loads) => new()
    {
        Header = new TraceHeader
        {
            Model = "model",
            Device = "device",
            NumBlocks = 100,
            BlockSize = 16,
            MaxNumSeqs = 64,
            MaxNumBatchedTokens = 8192,
            MaxModelLen = 8192,
            SchedulingPolicy = "fcfs",
            EvictionPolicy = "lru",
        },
        Requests = [],
        Steps = [.. loads.Select((load, i) => new RecordedStep { Id = i + 1, Seconds = Law(load), Load = load })],
        Orders = [],
    };
}
