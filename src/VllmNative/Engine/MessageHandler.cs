using VllmNative.Outputs;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Engine;

/// <summary>Does on the engine thread what other threads ask for: requests come and end, prefixes are pinned and forgotten.</summary>
internal sealed class MessageHandler(
    Scheduler scheduler,
    HeldRequests held,
    StepCommitter committer,
    OutputPump pump,
    Defragmentation defragmentation,
    EngineClock clock,
    EngineRecorder? recorder)
{
    internal void Handle(in EngineMessage message)
    {
        switch (message.Kind)
        {
            case EngineMessageKind.Add:
                Add(message.Request!);
                break;
            case EngineMessageKind.End:
                End(message.Request!, message.Reason, null);
                break;
            case EngineMessageKind.PinPrefix:
                long pinned = TimeProvider.System.GetTimestamp();
                message.Answer!.SetResult(scheduler.PinPrefix(message.Request!, clock.Seconds(pinned) + message.TimeToLive.TotalSeconds));
                recorder?.Pinned(message.Request!, pinned, message.TimeToLive);
                break;
            case EngineMessageKind.Defragment:
                defragmentation.Ask(message.Answer!);
                break;
            default:
                scheduler.ResetPrefixCache();
                recorder?.Reset(TimeProvider.System.GetTimestamp());
                break;
        }
    }

    /// <summary>Ends all requests, of an engine that stops.</summary>
    /// <param name="reason">How; with an error the bookkeeping may be broken, so that only readers can be told.</param>
    /// <param name="error">What they are told.</param>
    internal void EndAll(FinishReason reason, string? error)
    {
        foreach (Request request in scheduler.Running.Concat(scheduler.Waiting).Concat(held.All).ToArray())
        {
            try
            {
                End(request, reason, error);
            }
            catch (Exception) when (reason == FinishReason.Error)
            {
                FinishReading(request, reason, error);
            }
        }
    }

    private void Add(Request request)
    {
        long now = TimeProvider.System.GetTimestamp();
        request.Timings.Queued = now;
        request.QueuedAt = clock.Seconds(now);
        // Further completions of a prompt wait for the first.
        if (request.Parent is null)
        {
            scheduler.Add(request);
        }
        else
        {
            held.Add(request);
        }
    }

    private void End(Request request, FinishReason reason, string? error)
    {
        if (held.Remove(request))
        {
            request.Status = RequestStatus.Finished;
            FinishReading(request, reason, error);
        }
        else
        {
            committer.End(request, reason, error);
        }
    }

    private void FinishReading(Request request, FinishReason reason, string? error)
    {
        request.Timings.LastToken = TimeProvider.System.GetTimestamp();
        request.FinishReading(reason, null, error);
        pump.Note(request.Mailbox);
    }
}
