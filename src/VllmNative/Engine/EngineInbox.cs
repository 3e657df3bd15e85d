using System.Collections.Concurrent;
using VllmNative.Requests;

namespace VllmNative.Engine;

/// <summary>What other threads tell the engine thread, and what wakes it. Never disposed: a caller may post while the engine stops.</summary>
internal sealed class EngineInbox
{
    private readonly ConcurrentQueue<EngineMessage> _messages = new();

    /// <summary>An event, not a count: nobody counts messages. Whoever sets it has put its news before.</summary>
    internal ManualResetEventSlim News { get; } = new();

    internal bool IsEmpty => _messages.IsEmpty;

    internal void Post(in EngineMessage message)
    {
        _messages.Enqueue(message);
        News.Set();
    }

    /// <summary>The oldest message; of the engine thread, or of whoever finds the engine dead.</summary>
    internal bool TryTake(out EngineMessage message) => _messages.TryDequeue(out message);

    /// <summary>Waits for the next message or other news; whoever sends one from here on is seen when the inbox is read next.</summary>
    /// <param name="milliseconds">At most; -1 = without end.</param>
    internal void Wait(int milliseconds)
    {
        News.Wait(milliseconds);
        News.Reset();
    }

    /// <summary>Ends what is left: nobody reads the inbox any more. Ending a message twice does no harm.</summary>
    /// <param name="reason">How requests end.</param>
    /// <param name="error">What their readers are told; null = nothing went wrong.</param>
    internal void FailAll(FinishReason reason, string? error)
    {
        while (TryTake(out EngineMessage message))
        {
            message.Answer?.TrySetException(new EngineDeadException("the engine has stopped"));
            if (message.Request is { } request && message.Answer is null)
            {
                request.Timings.LastToken = TimeProvider.System.GetTimestamp();
                request.FinishReading(reason, null, error);
                request.Mailbox.Wake();
            }
        }
    }
}
