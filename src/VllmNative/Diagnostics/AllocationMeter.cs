namespace VllmNative.Diagnostics;

/// <summary>
/// Counts the bytes that one loop's thread allocates on the managed heap, iteration by iteration: all of them, since an
/// iteration begins where the one before ended. The loop's thread writes, anybody reads while the loop waits.
/// </summary>
internal sealed class AllocationMeter
{
    private long _last = -1;
    private volatile bool _forget;

    /// <summary>Iterations in which the set of running requests stayed as it was.</summary>
    internal AllocationCount Steady { get; private set; }

    /// <summary>Iterations in which requests arrived, were admitted, or ended, and those that waited for requests.</summary>
    internal AllocationCount Changing { get; private set; }

    /// <summary>Called by the loop's own thread at the end of each iteration.</summary>
    internal void EndIteration(bool changing)
    {
        long now = GC.GetAllocatedBytesForCurrentThread();
        // What the thread allocated before its first iteration is nobody's.
        long bytes = _last < 0 ? 0 : now - _last;
        _last = now;
        if (_forget)
        {
            _forget = false;
            Steady = Changing = default;
        }

        if (changing)
        {
            Changing = Changing.Add(bytes);
        }
        else
        {
            Steady = Steady.Add(bytes);
        }
    }

    /// <summary>Has the loop forget its counts before it adds the next iteration.</summary>
    internal void Reset() => _forget = true;
}
