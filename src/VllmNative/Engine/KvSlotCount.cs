using VllmNative.Diagnostics;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Engine;

/// <summary>Counts for <see cref="KvSlotMeter"/> what the running requests of a step own, and waste.</summary>
internal static class KvSlotCount
{
    // Shared blocks are full: a request's own last ones are what it wastes.
    internal static void AddTo(KvSlotMeter meter, Scheduler scheduler)
    {
        int blockSize = scheduler.Cache.BlockSize;
        (long wasted, long tokens, long finalTokens) = (0, 0, 0);
        List<Request> running = scheduler.Running;
        for (int i = 0; i < running.Count; i++)
        {
            Request request = running[i];
            wasted += ((long)request.BlockCount * blockSize) - request.Scheduled;
            tokens += request.Scheduled;
            finalTokens += request.PromptLength + request.MaxTokens;
        }

        meter.Add((long)scheduler.Cache.Pool.Used * blockSize, wasted, running.Count, tokens, finalTokens);
    }
}
