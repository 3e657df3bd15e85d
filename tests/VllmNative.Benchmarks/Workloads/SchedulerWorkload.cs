using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>
/// What the engine thread does for a step: schedule it, then take its result and post the tokens. No model: each row's
/// token is made up. Requests that reach their end make room for new ones. Prompts may wait beside them, most of whose tokens the
/// prefix cache has: there are rows for them, but never blocks enough.
/// </summary>
internal sealed class SchedulerWorkload : IDisposable
{
    private const int BlockSize = 16;
    private const int MaxTokens = 2000;
    private const int FreeBlocks = 64;
    private const int WaitingPrompt = 8192;
    private const int CachedTokens = 6144;

    private readonly int _running;
    private readonly int _waiting;
    private readonly BlockPool _pool;
    private readonly PrefixCache? _prefixes;
    private readonly Scheduler _scheduler;
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly StepPlan _plan;
    private readonly StepResult _result;
    private readonly List<Request> _admitted = [];
    private readonly Stack<int> _ballast = new();
    private long _nextId;

    /// <param name="running">Requests that run.</param>
    /// <param name="waiting">Prompts of 8192 tokens that wait; 0 = none, and no prefix cache.</param>
    internal SchedulerWorkload(int running, int waiting = 0)
    {
        (_running, _waiting) = (running, waiting);
        int rows = running + (waiting > 0 ? 1 : 0);
        // Nobody waits so long that others stop.
        var limits = new SchedulerLimits(rows, 8192, 0, rows) { MaxOvertakes = int.MaxValue };
        _pool = new BlockPool(1 + (running * ((MaxTokens + BlockSize) / BlockSize)) + (waiting > 0 ? WaitingPrompt / BlockSize : 0));
        _prefixes = waiting > 0 ? new PrefixCache(_pool, 0, BlockSize) : null;
        _scheduler = new Scheduler(limits, new KvCacheManager(_pool, BlockSize, _prefixes), waiting > 0 ? new SchedulerSetup { Policy = new PriorityPolicy() } : null);
        _committer = new StepCommitter(_scheduler, _pump);
        _plan = new StepPlan(rows, 8192);
        _result = new StepResult(rows);
        if (waiting == 0)
        {
            Step();
            return;
        }

        // One has the common beginning and never ends.
        int[] common = [.. Enumerable.Range(0, CachedTokens)];
        Add(common, maxTokens: 1_000_000, priority: 0);
        Compute();
        for (int i = 0; i < waiting; i++)
        {
            Add([.. common, .. Enumerable.Repeat(1_000_000 + i, WaitingPrompt - CachedTokens)], MaxTokens, priority: 1);
        }

        Step();
    }

    private void Add(int[] prompt, int maxTokens, int priority)
    {
        var request = new Request(_nextId++, prompt, SamplingParams.Greedy, maxTokens, [], BlockSize, 0) { Scheduling = new RequestScheduling { Priority = priority } };
        _prefixes?.Prepare(request);
        _scheduler.Add(request);
    }

    /// <summary>A step; what scheduling took of it.</summary>
    internal TimeSpan Step()
    {
        while (_scheduler.RunningCount + _scheduler.WaitingCount - _waiting < _running)
        {
            // Ends spread, so that no step admits everybody.
            Add([1, 2, 3], MaxTokens - 8 - (int)(_nextId * 37 % 1500), priority: 0);
        }

        if (_waiting > 0)
        {
            // Half a block for each that runs is kept; beside it a short prompt fits, and none of the long ones.
            LeaveFree((_running / 2) + FreeBlocks);
        }

        TimeSpan taken = Compute();
        return _scheduler.WaitingCount >= _waiting ? taken : throw new InvalidOperationException("a prompt that was to wait has begun");
    }

    private TimeSpan Compute()
    {
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

    // Requests come and go: what that leaves or takes is made up for, so that those who wait go on waiting.
    private void LeaveFree(int blocks)
    {
        while (_pool.Free < blocks && _ballast.TryPop(out int block))
        {
            _pool.Release(block);
        }

        while (_pool.Free > blocks && _pool.TryTake(out int block, out bool evicted))
        {
            if (evicted)
            {
                _prefixes!.Evicted(block);
            }

            _ballast.Push(block);
        }
    }
}
