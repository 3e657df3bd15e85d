using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>The engine thread's share of a step: schedule and commit, no model.</summary>
public class SchedulerBenchmarks
{
    private SchedulerWorkload _scheduler = null!;

    /// <summary>Requests that run at the same time.</summary>
    [Params(64, 256, 1024)]
    public int Running { get; set; }

    /// <summary>Admits the requests.</summary>
    [GlobalSetup]
    public void Setup() => _scheduler = new SchedulerWorkload(Running);

    /// <summary>One step.</summary>
    [Benchmark]
    public void Step() => _scheduler.Step();

    /// <summary>Stops the pump.</summary>
    [GlobalCleanup]
    public void Cleanup() => _scheduler.Dispose();
}
