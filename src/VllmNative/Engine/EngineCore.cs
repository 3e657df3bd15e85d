using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Outputs;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Engine;

/// <summary>The engine thread's life, and the door to it: other threads leave messages here, and hear of the engine's death. What it does is <see cref="EngineLoop"/>'s.</summary>
internal sealed class EngineCore : IDisposable
{
    private readonly Scheduler _scheduler;
    private readonly BlockPool _pool;
    private readonly IModelRunner _runner;
    private readonly OffloadWorker? _offload;
    private readonly EngineRecorder? _recorder;
    private readonly OutputPump _pump = new();
    private readonly EngineInbox _inbox = new();
    private readonly EngineLoop _loop;
    private readonly Thread _thread;
    private int _disposed;
    private volatile bool _stop;
    private volatile Exception? _death;

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
        _recorder = recorder;
        _loop = new EngineLoop(scheduler, pool, runner, limits, stepTimeout ?? Timeout.InfiniteTimeSpan, _inbox, _pump, meters, recorder);
        offload?.Attach(_inbox.News);
        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native engine" };
        _thread.Start();
    }

    /// <summary>Why the engine is dead; null while it lives.</summary>
    internal Exception? Death => _death;

    internal int UsedBlocks => _pool.Used;

    internal int PeakBlocks => _loop.PeakBlocks;

    internal Scheduler Scheduler => _scheduler;

    internal EngineRecorder? Recorder => _recorder;

    /// <summary>How often a request lost its blocks so far.</summary>
    internal long Preemptions => _scheduler.Preemptions;

    /// <summary>How often its blocks went to the host.</summary>
    internal long SwapOuts => _scheduler.SwapOuts;

    /// <summary>Requests that wait.</summary>
    internal int Waiting => _loop.Waiting;

    /// <summary>Steps computed so far.</summary>
    internal long Steps => _loop.Steps;

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
                _loop.Turn();
            }

            Die(new EngineDeadException("it was disposed"), FinishReason.Abort);
        }
        catch (Exception error)
        {
            // An error of the engine itself: its bookkeeping cannot be trusted any more.
            Die(error, FinishReason.Error);
        }
    }

    private void Die(Exception cause, FinishReason reason)
    {
        _death = cause;
        // Whoever posts from here on sees the death; what was posted before is seen by FailInbox.
        Interlocked.MemoryBarrier();
        _loop.End(reason, reason == FinishReason.Error ? cause.Message : null);
        FailInbox();
        _pump.Flush();
    }

    private void FailInbox()
    {
        bool disposed = _stop;
        _inbox.FailAll(disposed ? FinishReason.Abort : FinishReason.Error, disposed ? null : _death?.Message);
    }
}
