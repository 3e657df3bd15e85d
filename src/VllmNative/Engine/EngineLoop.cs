using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Outputs;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Engine;

/// <summary>
/// What the engine thread does turn by turn: takes messages in, schedules a step, hands it to the runner, commits what comes back. It makes no
/// native call, waits for no reader, and allocates nothing while requests only decode.
/// </summary>
internal sealed class EngineLoop
{
    private readonly Scheduler _scheduler;
    private readonly BlockPool _pool;
    private readonly EngineInbox _inbox;
    private readonly OutputPump _pump;
    private readonly LoopMeters? _meters;
    private readonly EngineRecorder? _recorder;
    private readonly StepCommitter _committer;
    private readonly HeldRequests _held;
    private readonly StepPipeline _steps;
    private readonly Defragmentation _defragmentation;
    private readonly MessageHandler _messages;
    private readonly DeadlineCheck _deadlines;
    private readonly List<Request> _admitted;
    private bool _membershipChanged;
    private int _peakBlocks;
    private int _waiting;
    private long _stepsDone;

    internal EngineLoop(
        Scheduler scheduler,
        BlockPool pool,
        IModelRunner runner,
        SchedulerLimits limits,
        TimeSpan stepTimeout,
        EngineInbox inbox,
        OutputPump pump,
        LoopMeters? meters,
        EngineRecorder? recorder)
    {
        _scheduler = scheduler;
        _pool = pool;
        _inbox = inbox;
        _pump = pump;
        _meters = meters;
        _recorder = recorder;
        _committer = new StepCommitter(scheduler, pump, recorder);
        _held = new HeldRequests(scheduler);
        _steps = new StepPipeline(runner, limits, stepTimeout);
        var clock = new EngineClock();
        _defragmentation = new Defragmentation(scheduler, _steps, Collect);
        _messages = new MessageHandler(scheduler, _held, _committer, pump, _defragmentation, clock, recorder);
        _deadlines = new DeadlineCheck(scheduler, _committer, clock);
        _admitted = new List<Request>(limits.MaxNumSeqs);
    }

    /// <summary>Most blocks that had owners; other threads may read it.</summary>
    internal int PeakBlocks => Volatile.Read(ref _peakBlocks);

    /// <summary>Requests that waited when the last turn ended; other threads may read it.</summary>
    internal int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Steps computed so far; other threads may read it.</summary>
    internal long Steps => Volatile.Read(ref _stepsDone);

    /// <summary>One turn; waits when there is nothing to do.</summary>
    internal void Turn()
    {
        Iterate();
        Measure();
    }

    /// <summary>Brings home what is in flight and ends everything that is under way.</summary>
    /// <param name="reason">How requests end; an error means that the bookkeeping may be broken.</param>
    /// <param name="error">What their readers are told.</param>
    internal void End(FinishReason reason, string? error)
    {
        try
        {
            while (_steps.InFlight > 0 && !_steps.Hangs)
            {
                CollectOldest();
            }
        }
        catch (Exception) when (reason == FinishReason.Error)
        {
            // The bookkeeping that failed before fails again; the requests are ended below.
        }

        _messages.EndAll(reason, error);
        _defragmentation.Fail();
    }

    // 1. messages, 2. deadlines, 3. schedule and submit, 4. collect and commit, 5. wake readers; waits when there is nothing.
    private void Iterate()
    {
        while (_inbox.TryTake(out EngineMessage message))
        {
            _membershipChanged = true;
            _messages.Handle(message);
        }

        _scheduler.TakeDiskResults();
        _deadlines.Run();
        bool submitted = TrySubmit();
        Volatile.Write(ref _waiting, _scheduler.WaitingCount + _scheduler.Waiting.Beams.Count + _held.All.Count);
        // Here the pool is fullest: what the step finishes returns with Collect.
        Volatile.Write(ref _peakBlocks, Math.Max(_peakBlocks, _pool.Used));
        if (_steps.IsFull || (_steps.InFlight > 0 && !submitted))
        {
            Collect();
        }
        else if (_steps.InFlight == 0 && !submitted)
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

    private void WaitForNews()
    {
        if (!_inbox.IsEmpty)
        {
            return;
        }

        // Not a step: the event makes its lock when it first blocks.
        _membershipChanged = true;
        // With requests that only wait for a deadline, look again soon.
        _inbox.Wait(_scheduler.HasWork ? 5 : -1);
    }

    private bool TrySubmit()
    {
        if (_defragmentation.IsWanted)
        {
            if (_steps.InFlight > 0)
            {
                return false;
            }

            _defragmentation.Run();
        }

        _held.Release();
        if (_steps.IsFull || !_scheduler.HasWork)
        {
            return false;
        }

        StepPlan plan = _steps.Next();
        _admitted.Clear();
        _scheduler.Schedule(plan, _admitted);
        _held.Release();
        if (plan.IsEmpty)
        {
            return false;
        }

        if (_meters?.KvSlots is { } slots)
        {
            KvSlotCount.AddTo(slots, _scheduler);
        }

        NoteAdmitted();
        _steps.Submit();
        return true;
    }

    private void NoteAdmitted()
    {
        if (_admitted.Count == 0)
        {
            return;
        }

        _membershipChanged = true;
        long now = TimeProvider.System.GetTimestamp();
        foreach (Request request in _admitted)
        {
            request.Timings.Scheduled = request.Timings.Scheduled == 0 ? now : request.Timings.Scheduled;
        }
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
        CollectedStep step = _steps.Collect();
        Learn(step);
        Volatile.Write(ref _stepsDone, _stepsDone + 1);
        _committer.Commit(step.Plan, step.Result);
        return step.Result.Failure;
    }

    private void Learn(in CollectedStep step)
    {
        if (step.Result.Failure is null)
        {
            _scheduler.Observe(step.Plan, step.Seconds);
            _scheduler.ObserveSwaps(step.Result.SwapBytes, step.Result.SwapSeconds);
        }

        _recorder?.Step(step.Plan, step.Result, step.Submitted, step.Collected, step.Seconds, _pool.Used);
    }
}
