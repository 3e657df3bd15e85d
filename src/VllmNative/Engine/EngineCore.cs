using System.Collections.Concurrent;
using VllmNative.Cache;
using VllmNative.Diagnostics;
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
    private readonly OffloadWorker? _offload;
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly HeldRequests _held;
    private readonly ConcurrentQueue<EngineMessage> _inbox = new();
    // An event, not a count: nobody counts messages, and never disposed: a caller may post while the engine stops.
    private readonly ManualResetEventSlim _news = new();
    private readonly Thread _thread;
    private readonly StepPlan[] _plans;
    private readonly StepResult[] _results;
    private readonly long[] _submitted;
    private readonly List<Request> _admitted;
    private readonly LoopMeters? _meters;
    private readonly TimeSpan _stepTimeout;
    private readonly long _started = TimeProvider.System.GetTimestamp();
    private int _oldest;
    private bool _membershipChanged;
    private bool _hung;
    private int _inFlight;
    private long _stepId;
    private long _lastCollected;
    private long _nextDeadlineCheck;
    private int _disposed;
    private volatile bool _stop;
    private volatile Exception? _death;
    private int _peakBlocks;
    private long _steps;

    /// <param name="scheduler">Decides; this thread's alone from now on.</param>
    /// <param name="pool">Its blocks.</param>
    /// <param name="runner">Computes; disposed with the core.</param>
    /// <param name="limits">Of a step.</param>
    /// <param name="stepTimeout">A step that takes longer means that the device hangs.</param>
    /// <param name="meters">Count what the loop costs.</param>
    /// <param name="offload">Works for the scheduler; stopped before the runner.</param>
    internal EngineCore(
        Scheduler scheduler,
        BlockPool pool,
        IModelRunner runner,
        SchedulerLimits limits,
        TimeSpan? stepTimeout = null,
        LoopMeters? meters = null,
        OffloadWorker? offload = null)
    {
        _offload = offload;
        _scheduler = scheduler;
        _pool = pool;
        _runner = runner;
        _meters = meters;
        _stepTimeout = stepTimeout ?? Timeout.InfiniteTimeSpan;
        _admitted = new List<Request>(limits.MaxNumSeqs);
        _committer = new StepCommitter(scheduler, _pump);
        _held = new HeldRequests(scheduler);
        _plans = new StepPlan[runner.MaxStepsInFlight];
        _results = new StepResult[runner.MaxStepsInFlight];
        _submitted = new long[runner.MaxStepsInFlight];
        for (int i = 0; i < _plans.Length; i++)
        {
            _plans[i] = new StepPlan(limits.MaxNumSeqs, limits.MaxNumBatchedTokens);
            _results[i] = new StepResult(limits.MaxNumSeqs);
        }

        offload?.Attach(_news);
        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native engine" };
        _thread.Start();
    }

    /// <summary>Why the engine is dead; null while it lives.</summary>
    internal Exception? Death => _death;

    internal int UsedBlocks => _pool.Used;

    internal int PeakBlocks => Volatile.Read(ref _peakBlocks);

    internal Scheduler Scheduler => _scheduler;

    /// <summary>How often a request lost its blocks so far.</summary>
    internal long Preemptions => _scheduler.Preemptions;

    /// <summary>Steps computed so far.</summary>
    internal long Steps => Volatile.Read(ref _steps);

    /// <summary>Puts a request into the waiting queue.</summary>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    /// <exception cref="InvalidOperationException">The request was submitted before.</exception>
    internal void Submit(Request request)
    {
        ThrowIfDead();
        if (_stop)
        {
            throw new EngineDeadException("the engine has stopped: it was disposed");
        }

        if (!request.TryClaim())
        {
            throw new InvalidOperationException("the outputs of a request can be read once; ask for a new request");
        }

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
        if (_death is null)
        {
            Post(new EngineMessage(EngineMessageKind.End, request, reason));
        }
    }

    /// <summary>Forgets all cached prefixes before the next step; who runs goes on.</summary>
    internal void ResetPrefixCache()
    {
        ThrowIfDead();
        Post(new EngineMessage(EngineMessageKind.ResetPrefixCache, null, FinishReason.None));
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
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _stop = true;
        _news.Set();
        _thread.Join();
        _offload?.Dispose();
        _runner.Dispose();
        _pump.Dispose();
    }

    private void Post(EngineMessage message)
    {
        _inbox.Enqueue(message);
        _news.Set();
    }

    private void Run()
    {
        try
        {
            while (!_stop)
            {
                Iterate();
                Measure();
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
        _scheduler.TakeDiskResults();
        CheckDeadlines();
        bool submitted = TrySubmit();
        // Here the pool is fullest: what the step finishes returns with Collect.
        Volatile.Write(ref _peakBlocks, Math.Max(_peakBlocks, _pool.Used));
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
    }

    private void Measure()
    {
        if (_meters is not null)
        {
            bool changing = _membershipChanged || _committer.EndedAny;
            _meters.Engine.EndIteration(changing);
            _meters.EngineTime?.EndIteration(changing);
        }

        _membershipChanged = _committer.EndedAny = false;
    }

    private void DrainInbox()
    {
        while (_inbox.TryDequeue(out EngineMessage message))
        {
            _membershipChanged = true;
            switch (message.Kind)
            {
                case EngineMessageKind.Add:
                    long now = TimeProvider.System.GetTimestamp();
                    message.Request!.Timings.Queued = now;
                    message.Request.QueuedAt = TimeProvider.System.GetElapsedTime(_started, now).TotalSeconds;
                    Take(message.Request);
                    break;
                case EngineMessageKind.End:
                    End(message.Request!, message.Reason, null);
                    break;
                default:
                    _scheduler.ResetPrefixCache();
                    break;
            }
        }
    }

    // Further completions of a prompt wait for the first.
    private void Take(Request request)
    {
        if (request.Parent is null)
        {
            _scheduler.Add(request);
        }
        else
        {
            _held.Add(request);
        }
    }

    private void End(Request request, FinishReason reason, string? error)
    {
        if (_held.Remove(request))
        {
            request.Status = RequestStatus.Finished;
            Finish(request, reason, error);
        }
        else
        {
            _committer.End(request, reason, error);
        }
    }

    private void Finish(Request request, FinishReason reason, string? error)
    {
        request.Timings.LastToken = TimeProvider.System.GetTimestamp();
        request.Mailbox.Finish(reason, null, error);
        _pump.Note(request.Mailbox);
    }

    private void WaitForNews()
    {
        if (!_inbox.IsEmpty)
        {
            return;
        }

        // Not a step: the event makes its lock when it first blocks.
        _membershipChanged = true;
        // With requests that only wait for a deadline, look again soon.
        _news.Wait(_scheduler.HasWork ? 5 : -1);
        // Whoever sets it from here on has put its message before, and the inbox is read next.
        _news.Reset();
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
        _held.Release();
        if (_inFlight == _runner.MaxStepsInFlight || !_scheduler.HasWork)
        {
            return false;
        }

        int slot = (_oldest + _inFlight) % _plans.Length;
        StepPlan plan = _plans[slot];
        _admitted.Clear();
        plan.StepId = _stepId + 1;
        _scheduler.Schedule(plan, _admitted);
        _held.Release();
        if (plan.IsEmpty)
        {
            return false;
        }

        _stepId++;
        if (_admitted.Count > 0)
        {
            _membershipChanged = true;
            long now = TimeProvider.System.GetTimestamp();
            foreach (Request request in _admitted)
            {
                request.Timings.Scheduled = request.Timings.Scheduled == 0 ? now : request.Timings.Scheduled;
            }
        }

        _submitted[slot] = TimeProvider.System.GetTimestamp();
        _runner.Submit(plan, _results[slot]);
        _inFlight++;
        return true;
    }

    private void Collect()
    {
        if (CollectOldest() is { } failure && StepCommitter.IsFatal(failure))
        {
            throw new EngineDeadException(failure.Message, failure);
        }
    }

    private Exception? CollectOldest()
    {
        if (!_runner.Collect(_stepTimeout))
        {
            _hung = true;
            throw new EngineDeadException($"the device is lost: a step took longer than {_stepTimeout.TotalSeconds:0.###} s (StepTimeout)");
        }

        StepPlan plan = _plans[_oldest];
        StepResult result = _results[_oldest];
        ObserveStep(plan, result, _submitted[_oldest]);
        _oldest = (_oldest + 1) % _plans.Length;
        _inFlight--;
        Volatile.Write(ref _steps, _steps + 1);
        _committer.Commit(plan, result);
        return result.Failure;
    }

    // Steps run one after the other: each from the end of the last, or from its own submission.
    private void ObserveStep(StepPlan plan, StepResult result, long submitted)
    {
        long now = TimeProvider.System.GetTimestamp();
        if (result.Failure is null)
        {
            _scheduler.Observe(plan, TimeProvider.System.GetElapsedTime(Math.Max(submitted, _lastCollected), now).TotalSeconds);
            _scheduler.ObserveSwaps(result.SwapBytes, result.SwapSeconds);
        }

        _lastCollected = now;
    }

    private void Die(Exception cause, FinishReason reason)
    {
        _death = cause;
        // Whoever posts from here on sees the death; what was posted before is seen by FailInbox.
        Interlocked.MemoryBarrier();
        string? error = reason == FinishReason.Error ? cause.Message : null;
        try
        {
            while (_inFlight > 0 && !_hung)
            {
                CollectOldest();
            }
        }
        catch (Exception) when (reason == FinishReason.Error)
        {
            // The bookkeeping that failed before fails again; the requests are ended below.
        }

        foreach (Request request in _scheduler.Running.Concat(_scheduler.Waiting).Concat(_held.All).ToArray())
        {
            try
            {
                End(request, reason, error);
            }
            catch (Exception) when (reason == FinishReason.Error)
            {
                Finish(request, reason, error);
            }
        }

        FailInbox();
        _pump.Flush();
    }

    private void FailInbox()
    {
        while (_inbox.TryDequeue(out EngineMessage message))
        {
            if (message.Request is null)
            {
                continue;
            }

            bool disposed = _stop;
            message.Request.Timings.LastToken = TimeProvider.System.GetTimestamp();
            message.Request.Mailbox.Finish(disposed ? FinishReason.Abort : FinishReason.Error, null, disposed ? null : _death?.Message);
            message.Request.Mailbox.Wake();
        }
    }
}
