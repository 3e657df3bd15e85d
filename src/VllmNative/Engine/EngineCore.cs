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
/// The engine thread: takes messages in, schedules a step, hands it to the runner, commits what comes back. It makes no
/// native call, waits for no reader, and allocates nothing while requests only decode.
/// </summary>
internal sealed class EngineCore : IDisposable
{
    private const int MostDefragmentPasses = 16;

    private readonly Scheduler _scheduler;
    private readonly BlockPool _pool;
    private readonly IModelRunner _runner;
    private readonly OffloadWorker? _offload;
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly HeldRequests _held;
    private readonly EngineInbox _inbox = new();
    private readonly StepPipeline _steps;
    private readonly Thread _thread;
    private readonly List<Request> _admitted;
    private readonly LoopMeters? _meters;
    private readonly List<TaskCompletionSource<int>> _defragmenting = [];
    private readonly EngineRecorder? _recorder;
    private readonly long _started = TimeProvider.System.GetTimestamp();
    private bool _membershipChanged;
    private long _nextDeadlineCheck;
    private int _disposed;
    private volatile bool _stop;
    private volatile Exception? _death;
    private int _peakBlocks;
    private long _stepsDone;

    /// <param name="scheduler">Decides; this thread's alone from now on.</param>
    /// <param name="pool">Its blocks.</param>
    /// <param name="runner">Computes; disposed with the core.</param>
    /// <param name="limits">Of a step.</param>
    /// <param name="stepTimeout">A step that takes longer means that the device hangs.</param>
    /// <param name="meters">Count what the loop costs.</param>
    /// <param name="offload">Works for the scheduler; stopped before the runner.</param>
    /// <param name="recorder">Writes down what happens.</param>
    internal EngineCore(
        Scheduler scheduler,
        BlockPool pool,
        IModelRunner runner,
        SchedulerLimits limits,
        TimeSpan? stepTimeout = null,
        LoopMeters? meters = null,
        OffloadWorker? offload = null,
        EngineRecorder? recorder = null)
    {
        _offload = offload;
        _scheduler = scheduler;
        _pool = pool;
        _runner = runner;
        _meters = meters;
        _recorder = recorder;
        _admitted = new List<Request>(limits.MaxNumSeqs);
        _committer = new StepCommitter(scheduler, _pump, recorder);
        _held = new HeldRequests(scheduler);
        _steps = new StepPipeline(runner, limits, stepTimeout ?? Timeout.InfiniteTimeSpan);
        offload?.Attach(_inbox.News);
        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native engine" };
        _thread.Start();
    }

    /// <summary>Why the engine is dead; null while it lives.</summary>
    internal Exception? Death => _death;

    internal int UsedBlocks => _pool.Used;

    internal int PeakBlocks => Volatile.Read(ref _peakBlocks);

    internal Scheduler Scheduler => _scheduler;

    internal EngineRecorder? Recorder => _recorder;

    /// <summary>How often a request lost its blocks so far.</summary>
    internal long Preemptions => _scheduler.Preemptions;

    /// <summary>How often its blocks went to the host.</summary>
    internal long SwapOuts => _scheduler.SwapOuts;

    /// <summary>Steps computed so far.</summary>
    internal long Steps => Volatile.Read(ref _stepsDone);

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
        _inbox.Post(new EngineMessage(EngineMessageKind.Add, request));
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
            _inbox.Post(new EngineMessage(EngineMessageKind.End, request, reason));
        }
    }

    /// <summary>Forgets all cached prefixes before the next step; who runs goes on.</summary>
    internal void ResetPrefixCache()
    {
        ThrowIfDead();
        _inbox.Post(new EngineMessage(EngineMessageKind.ResetPrefixCache));
    }

    /// <summary>Keeps what is cached of a request's beginning for a while.</summary>
    /// <returns>Tokens that are kept.</returns>
    internal Task<int> PinPrefixAsync(Request request, TimeSpan timeToLive) =>
        AskAsync(new EngineMessage(EngineMessageKind.PinPrefix, request) { TimeToLive = timeToLive });

    /// <summary>Moves blocks as soon as no step is in flight.</summary>
    /// <returns>Blocks moved.</returns>
    internal Task<int> DefragmentAsync() => AskAsync(new EngineMessage(EngineMessageKind.Defragment));

    private Task<int> AskAsync(EngineMessage message)
    {
        ThrowIfDead();
        var answer = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        _inbox.Post(message with { Answer = answer });
        if (_death is not null)
        {
            FailInbox();
        }

        return answer.Task;
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
        _inbox.News.Set();
        _thread.Join();
        _offload?.Dispose();
        _runner.Dispose();
        _pump.Dispose();
        _recorder?.Dispose();
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

    private void DrainInbox()
    {
        while (_inbox.TryTake(out EngineMessage message))
        {
            _membershipChanged = true;
            switch (message.Kind)
            {
                case EngineMessageKind.Add:
                    long now = TimeProvider.System.GetTimestamp();
                    message.Request!.Timings.Queued = now;
                    message.Request.QueuedAt = Seconds(now);
                    Take(message.Request);
                    break;
                case EngineMessageKind.End:
                    End(message.Request!, message.Reason, null);
                    break;
                case EngineMessageKind.PinPrefix:
                    long pinned = TimeProvider.System.GetTimestamp();
                    message.Answer!.SetResult(_scheduler.PinPrefix(message.Request!, Seconds(pinned) + message.TimeToLive.TotalSeconds));
                    _recorder?.Pinned(message.Request!, pinned, message.TimeToLive);
                    break;
                case EngineMessageKind.Defragment:
                    _defragmenting.Add(message.Answer!);
                    break;
                default:
                    _scheduler.ResetPrefixCache();
                    _recorder?.Reset(TimeProvider.System.GetTimestamp());
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
        request.FinishReading(reason, null, error);
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
        _inbox.Wait(_scheduler.HasWork ? 5 : -1);
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
        _scheduler.ExpirePins(Seconds(now));
    }

    private double Seconds(long timestamp) => TimeProvider.System.GetElapsedTime(_started, timestamp).TotalSeconds;

    // Passes until nothing moves, each a step of its own.
    private void Defragment()
    {
        int moved = 0;
        for (int pass = 0; pass < MostDefragmentPasses && _scheduler.Defragment(_steps.Next()) is > 0 and var blocks; pass++)
        {
            moved += blocks;
            _steps.Submit();
            Collect();
        }

        _defragmenting.ForEach(answer => answer.SetResult(moved));
        _defragmenting.Clear();
    }

    private bool TrySubmit()
    {
        if (_defragmenting.Count > 0)
        {
            if (_steps.InFlight > 0)
            {
                return false;
            }

            Defragment();
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
            CountSlots(slots);
        }

        if (_admitted.Count > 0)
        {
            _membershipChanged = true;
            long now = TimeProvider.System.GetTimestamp();
            foreach (Request request in _admitted)
            {
                request.Timings.Scheduled = request.Timings.Scheduled == 0 ? now : request.Timings.Scheduled;
            }
        }

        _steps.Submit();
        return true;
    }

    // Shared blocks are full: a request's own last ones are what it wastes.
    private void CountSlots(KvSlotMeter meter)
    {
        int blockSize = _scheduler.Cache.BlockSize;
        (long wasted, long tokens, long finalTokens) = (0, 0, 0);
        List<Request> running = _scheduler.Running;
        for (int i = 0; i < running.Count; i++)
        {
            Request request = running[i];
            wasted += ((long)request.BlockCount * blockSize) - request.Scheduled;
            tokens += request.Scheduled;
            finalTokens += request.PromptLength + request.MaxTokens;
        }

        meter.Add((long)_pool.Used * blockSize, wasted, running.Count, tokens, finalTokens);
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

    private void Die(Exception cause, FinishReason reason)
    {
        _death = cause;
        // Whoever posts from here on sees the death; what was posted before is seen by FailInbox.
        Interlocked.MemoryBarrier();
        string? error = reason == FinishReason.Error ? cause.Message : null;
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

        _defragmenting.ForEach(answer => answer.TrySetException(new EngineDeadException("the engine has stopped")));
        FailInbox();
        _pump.Flush();
    }

    private void FailInbox()
    {
        bool disposed = _stop;
        _inbox.FailAll(disposed ? FinishReason.Abort : FinishReason.Error, disposed ? null : _death?.Message);
    }
}
