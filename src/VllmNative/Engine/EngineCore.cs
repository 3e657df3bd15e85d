using System.Collections.Concurrent;
using VllmNative.Cache;
using VllmNative.Execution;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Engine;

/// <summary>
/// The engine thread: takes messages in, schedules a step, hands it to the runner, commits what comes back. It makes no
/// native call, waits for no reader, and allocates nothing while requests only decode.
/// </summary>
internal sealed class EngineCore : IDisposable
{
    private readonly Scheduler _scheduler;
    private readonly BlockPool _pool;
    private readonly IModelRunner _runner;
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly ConcurrentQueue<EngineMessage> _inbox = new();
    private readonly SemaphoreSlim _news = new(0);
    private readonly Thread _thread;
    private readonly StepPlan[] _plans;
    private readonly StepResult[] _results;
    private readonly List<Request> _admitted = [];
    private int _oldest;
    private int _inFlight;
    private long _stepId;
    private long _nextDeadlineCheck;
    private volatile bool _stop;
    private volatile Exception? _death;
    private int _usedBlocks;
    private int _peakBlocks;
    private long _steps;

    internal EngineCore(Scheduler scheduler, BlockPool pool, IModelRunner runner, SchedulerLimits limits)
    {
        _scheduler = scheduler;
        _pool = pool;
        _runner = runner;
        _committer = new StepCommitter(scheduler, _pump);
        _plans = new StepPlan[runner.MaxStepsInFlight];
        _results = new StepResult[runner.MaxStepsInFlight];
        for (int i = 0; i < _plans.Length; i++)
        {
            _plans[i] = new StepPlan(limits.MaxNumSeqs, limits.MaxNumBatchedTokens);
            _results[i] = new StepResult(limits.MaxNumSeqs);
        }

        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native engine" };
        _thread.Start();
    }

    /// <summary>Why the engine is dead; null while it lives.</summary>
    internal Exception? Death => _death;

    internal int UsedBlocks => Volatile.Read(ref _usedBlocks);

    internal int PeakBlocks => Volatile.Read(ref _peakBlocks);

    /// <summary>Steps computed so far.</summary>
    internal long Steps => Volatile.Read(ref _steps);

    /// <summary>Puts a request into the waiting queue.</summary>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    internal void Submit(Request request)
    {
        ThrowIfDead();
        request.Timings.Arrived = TimeProvider.System.GetTimestamp();
        Post(new EngineMessage(EngineMessageKind.Add, request, FinishReason.None));
        if (_death is not null)
        {
            // The engine may have died before it saw the message; ending it twice does no harm.
            FailInbox();
        }
    }

    /// <summary>Ends a request that its reader has no more use for; nothing happens when the engine has stopped.</summary>
    internal void TryEnd(Request request, FinishReason reason)
    {
        if (!_stop && _death is null)
        {
            Post(new EngineMessage(EngineMessageKind.End, request, reason));
        }
    }

    internal void ThrowIfDead()
    {
        if (_death is { } death)
        {
            throw new EngineDeadException("the engine has stopped: " + death.Message, death);
        }
    }

    public void Dispose()
    {
        if (_stop)
        {
            return;
        }

        _stop = true;
        _news.Release();
        _thread.Join();
        _runner.Dispose();
        _pump.Dispose();
        _news.Dispose();
    }

    private void Post(EngineMessage message)
    {
        if (_stop)
        {
            throw new EngineDeadException("the engine was disposed");
        }

        _inbox.Enqueue(message);
        _news.Release();
    }

    private void Run()
    {
        try
        {
            while (!_stop)
            {
                Iterate();
            }

            Die(new EngineDeadException("it was disposed"), FinishReason.Abort);
        }
        catch (Exception error)
        {
            // An error of the engine itself: its bookkeeping cannot be trusted any more.
            Die(error, FinishReason.Error);
        }
    }

    // 1. messages, 2. deadlines, 3. schedule and submit, 4. collect and commit, 5. wake readers; waits when there is nothing.
    private void Iterate()
    {
        DrainInbox();
        CheckDeadlines();
        bool submitted = TrySubmit();
        if (_inFlight == _runner.MaxStepsInFlight || (_inFlight > 0 && !submitted))
        {
            Collect();
        }
        else if (_inFlight == 0 && !submitted)
        {
            _pump.Flush();
            WaitForNews();
        }

        _pump.Flush();
        int used = _pool.Used;
        Volatile.Write(ref _usedBlocks, used);
        if (used > _peakBlocks)
        {
            Volatile.Write(ref _peakBlocks, used);
        }
    }

    private void DrainInbox()
    {
        while (_inbox.TryDequeue(out EngineMessage message))
        {
            if (message.Kind == EngineMessageKind.Add)
            {
                message.Request.Timings.Queued = TimeProvider.System.GetTimestamp();
                _scheduler.Add(message.Request);
            }
            else
            {
                _committer.End(message.Request, message.Reason, null);
            }
        }
    }

    private void WaitForNews()
    {
        if (!_inbox.IsEmpty)
        {
            return;
        }

        // With requests that only wait for a deadline, look again soon.
        _news.Wait(_scheduler.HasWork ? 5 : -1);
        while (_news.CurrentCount > 0 && _news.Wait(0))
        {
        }
    }

    private void CheckDeadlines()
    {
        long now = TimeProvider.System.GetTimestamp();
        if (now < _nextDeadlineCheck)
        {
            return;
        }

        _nextDeadlineCheck = now + (TimeProvider.System.TimestampFrequency / 100);
        _committer.EndOverdue(now);
    }

    private bool TrySubmit()
    {
        if (_inFlight == _runner.MaxStepsInFlight || !_scheduler.HasWork)
        {
            return false;
        }

        int slot = (_oldest + _inFlight) % _plans.Length;
        StepPlan plan = _plans[slot];
        _admitted.Clear();
        _scheduler.Schedule(plan, _admitted);
        if (plan.IsEmpty)
        {
            return false;
        }

        plan.StepId = ++_stepId;
        if (_admitted.Count > 0)
        {
            long now = TimeProvider.System.GetTimestamp();
            foreach (Request request in _admitted)
            {
                request.Timings.Scheduled = request.Timings.Scheduled == 0 ? now : request.Timings.Scheduled;
            }
        }

        _runner.Submit(plan, _results[slot]);
        _inFlight++;
        return true;
    }

    private void Collect()
    {
        _runner.Collect();
        StepPlan plan = _plans[_oldest];
        StepResult result = _results[_oldest];
        _oldest = (_oldest + 1) % _plans.Length;
        _inFlight--;
        Volatile.Write(ref _steps, _steps + 1);
        _committer.Commit(plan, result);
        if (result.Failure is { } failure && StepCommitter.IsFatal(failure))
        {
            throw new EngineDeadException(failure.Message, failure);
        }
    }

    private void Die(Exception cause, FinishReason reason)
    {
        while (_inFlight > 0)
        {
            _runner.Collect();
            _inFlight--;
        }

        _death = cause;
        string? error = reason == FinishReason.Error ? cause.Message : null;
        foreach (Request request in _scheduler.Running.Concat(_scheduler.Waiting).ToArray())
        {
            request.Mailbox.Finish(reason, null, error);
            _pump.Note(request.Mailbox);
        }

        FailInbox();
        _pump.Flush();
    }

    private void FailInbox()
    {
        while (_inbox.TryDequeue(out EngineMessage message))
        {
            message.Request.Mailbox.Finish(_stop ? FinishReason.Abort : FinishReason.Error, null, _death?.Message);
            message.Request.Mailbox.Wake();
        }
    }
}
