using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>
/// What the engine thread does for a step: schedule it, then take its result and post the tokens. No model: each row's
/// token is made up. Requests that reach their end make room for new ones.
/// </summary>
internal sealed class SchedulerWorkload : IDisposable
{
    private const int BlockSize = 16;
    private const int MaxTokens = 2000;

    private readonly int _running;
    private readonly Scheduler _scheduler;
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly StepPlan _plan;
    private readonly StepResult _result;
    private readonly List<Request> _admitted = [];
    private long _nextId;

    internal SchedulerWorkload(int running)
    {
        _running = running;
        var limits = new SchedulerLimits(running, 8192, 0, running);
        var pool = new BlockPool(1 + (running * ((MaxTokens + BlockSize) / BlockSize)));
        _scheduler = new Scheduler(limits, new KvCacheManager(pool, BlockSize));
        _committer = new StepCommitter(_scheduler, _pump);
        _plan = new StepPlan(running, 8192);
        _result = new StepResult(running);
        Step();
    }

    /// <summary>A step; what scheduling took of it.</summary>
    internal TimeSpan Step()
    {
        while (_scheduler.RunningCount + _scheduler.WaitingCount < _running)
        {
            // Ends spread, so that no step admits everybody.
            int maxTokens = MaxTokens - 8 - (int)(_nextId * 37 % 1500);
            _scheduler.Add(new Request(_nextId++, [1, 2, 3], SamplingParams.Greedy, maxTokens, [], BlockSize, 0));
        }

        _admitted.Clear();
        long start = Stopwatch.GetTimestamp();
        _scheduler.Schedule(_plan, _admitted);
        TimeSpan taken = Stopwatch.GetElapsedTime(start);
        _result.Begin(_plan.StepId);
        for (int i = 0; i < _plan.Rows.Count; i++)
        {
            _result.SetRow(i, RowStatus.Ok, [7]);
        }

        _committer.Commit(_plan, _result);
        _pump.Flush();
        return taken;
    }

    public void Dispose() => _pump.Dispose();
}
