using System.Collections.Concurrent;

namespace VllmNative.Cache.Disk;

/// <summary>Jobs of one kind. What it bounds is jobs whose results were not taken yet, and with them the queue of results.</summary>
internal sealed class OffloadQueue<T>(int capacity)
    where T : OffloadJob
{
    private readonly ConcurrentQueue<T> _jobs = new();
    private int _open;

    internal bool IsEmpty => _jobs.IsEmpty;

    /// <summary>Takes a job in, unless too many are open.</summary>
    internal bool TryAdd(T job)
    {
        if (Volatile.Read(ref _open) >= capacity)
        {
            return false;
        }

        Interlocked.Increment(ref _open);
        _jobs.Enqueue(job);
        return true;
    }

    internal bool TryTake([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out T? job) => _jobs.TryDequeue(out job);

    /// <summary>A job's result was taken.</summary>
    internal void Close() => Interlocked.Decrement(ref _open);
}
