using VllmNative.Diagnostics;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Recording;

/// <summary>
/// Writes what an engine does into a file, so that it can be replayed. The engine thread leaves plain values in bounded queues and
/// never waits; a thread of its own looks there often enough and writes. What finds a queue full is dropped and counted. When the
/// file cannot be written any more, recording ends and the engine goes on.
/// </summary>
internal sealed class EngineRecorder : IDisposable
{
    private const int DefaultCapacity = 8192;
    private const int EventsPerStep = 8;

    // Looking often costs little and spares the engine thread the waking of another.
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly string _name;
    private readonly TraceHeader _header;
    private readonly Action<string>? _log;
    private readonly TraceWriter _writer;
    private readonly SampleRing<RecordedStep> _steps;
    private readonly SampleRing<StepEvent> _events;
    private readonly SampleRing<(Request Request, FinishReason Reason)> _requests;
    private readonly SampleRing<CacheOrder> _orders;
    private readonly ManualResetEventSlim _stop = new(initialState: false, spinCount: 0);
    private readonly Thread _thread;
    private StepEvent[] _eventBuffer = new StepEvent[64];
    private long _droppedSteps;
    private long _droppedRequests;
    private long _droppedOrders;
    private volatile string? _error;

    /// <param name="stream">Disposed with the recorder.</param>
    /// <param name="name">What errors call the stream.</param>
    /// <param name="header">The engine.</param>
    /// <param name="log">Takes a line when recording ends early; may be null.</param>
    /// <param name="capacity">Steps, and requests, that may wait to be written.</param>
    internal EngineRecorder(Stream stream, string name, TraceHeader header, Action<string>? log = null, int capacity = DefaultCapacity)
    {
        _name = name;
        _header = header;
        _log = log;
        _writer = new TraceWriter(stream, TimeProvider.System.GetTimestamp());
        _steps = new SampleRing<RecordedStep>(capacity);
        _events = new SampleRing<StepEvent>(EventsPerStep * capacity);
        _requests = new SampleRing<(Request, FinishReason)>(capacity);
        _orders = new SampleRing<CacheOrder>(capacity);
        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native recorder" };
        _thread.Start();
    }

    /// <summary>Why recording has ended early; null while it goes on.</summary>
    internal string? Error => _error;

    /// <summary>Creates the file; early, so that no model is loaded for nothing.</summary>
    /// <exception cref="VllmException">It cannot be created.</exception>
    internal static FileStream CreateFile(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1 << 16);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new VllmException($"engine options: RecordTo is \"{path}\", which cannot be created: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    /// <summary>A step has returned, and nothing of it was committed yet; engine thread.</summary>
    /// <param name="plan">The step.</param>
    /// <param name="result">What it came to.</param>
    /// <param name="submitted">Timestamp of its submission.</param>
    /// <param name="ended">Timestamp of its return.</param>
    /// <param name="seconds">From the end of the step before it, or from its submission when that was later.</param>
    /// <param name="usedBlocks">KV blocks that have owners.</param>
    internal void Step(StepPlan plan, StepResult result, long submitted, long ended, double seconds, int usedBlocks)
    {
        if (_error is not null || !_steps.HasRoom(1) || !_events.HasRoom(plan.Events.Count))
        {
            _droppedSteps++;
            return;
        }

        // The events first: whoever sees the step finds them.
        foreach (StepEvent happened in plan.Events.Span)
        {
            _events.Write(happened);
        }

        _steps.Write(new RecordedStep
        {
            Id = plan.StepId,
            Submitted = _writer.SecondsAt(submitted),
            Ended = _writer.SecondsAt(ended),
            Seconds = seconds,
            Load = StepLoad.Of(plan),
            UsedBlocks = usedBlocks,
            Failed = result.Failure is not null,
            SwapBytes = result.SwapBytes,
            SwapSeconds = result.SwapSeconds,
            EventCount = plan.Events.Count,
        });
    }

    /// <summary>A request has ended: nothing of it changes any more; engine thread.</summary>
    internal void Ended(Request request, FinishReason reason)
    {
        if (_error is not null || !_requests.HasRoom(1))
        {
            _droppedRequests++;
            return;
        }

        _requests.Write((request, reason));
    }

    /// <summary>A request's blocks were pinned; engine thread.</summary>
    /// <param name="request">The request.</param>
    /// <param name="at">Timestamp.</param>
    /// <param name="timeToLive">For how long.</param>
    internal void Pinned(Request request, long at, TimeSpan timeToLive) =>
        Order(new CacheOrder(_writer.SecondsAt(at), request.Id, Math.Min(timeToLive.TotalSeconds, TraceFields.MaxSeconds)));

    /// <summary>The prefix cache was emptied; engine thread.</summary>
    internal void Reset(long at) => Order(new CacheOrder(_writer.SecondsAt(at), null, 0));

    /// <summary>Writes what is left, and the last line. The engine thread has ended before.</summary>
    public void Dispose()
    {
        _stop.Set();
        _thread.Join();
        _stop.Dispose();
    }

    private void Order(in CacheOrder order)
    {
        if (_error is not null || !_orders.HasRoom(1))
        {
            _droppedOrders++;
            return;
        }

        _orders.Write(order);
    }

    private void Run()
    {
        Guard(() => _writer.WriteHeader(_header));
        bool last;
        do
        {
            last = _stop.Wait(Interval);
            Guard(WriteWaiting);
        }
        while (!last);

        Guard(() => _writer.WriteTotals(_droppedSteps, _droppedRequests, _droppedOrders, TimeProvider.System.GetTimestamp()));
        Close();
    }

    private void WriteWaiting()
    {
        while (_steps.TryRead(out RecordedStep step))
        {
            if (_eventBuffer.Length < step.EventCount)
            {
                _eventBuffer = new StepEvent[2 * step.EventCount];
            }

            for (int i = 0; i < step.EventCount; i++)
            {
                _events.TryRead(out _eventBuffer[i]);
            }

            _writer.WriteStep(step, _eventBuffer.AsSpan(0, step.EventCount));
        }

        while (_requests.TryRead(out (Request Request, FinishReason Reason) ended))
        {
            _writer.WriteRequest(ended.Request, ended.Reason, _header.BlockSize);
        }

        while (_orders.TryRead(out CacheOrder order))
        {
            _writer.WriteOrder(order);
        }

        _writer.Flush();
    }

    // Whatever a disk does, the engine goes on.
    private void Guard(Action write)
    {
        if (_error is not null)
        {
            return;
        }

        try
        {
            write();
        }
        catch (Exception e) when (IsOfTheFile(e))
        {
            Fail(e);
        }
    }

    private void Close()
    {
        try
        {
            _writer.Dispose();
        }
        catch (Exception e) when (IsOfTheFile(e))
        {
            // Closing writes what is buffered; after an error that fails again.
            if (_error is null)
            {
                Fail(e);
            }
        }
    }

    private void Fail(Exception e)
    {
        string error = $"{_name}: recording has ended, the file cannot be written: {e.Message.ReplaceLineEndings(" ")}";
        _log?.Invoke(error);
        _error = error;
    }

    private static bool IsOfTheFile(Exception e) => e is IOException or UnauthorizedAccessException or ObjectDisposedException or NotSupportedException;
}
