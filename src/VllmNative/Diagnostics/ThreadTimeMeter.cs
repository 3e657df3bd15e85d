using System.Runtime.InteropServices;

namespace VllmNative.Diagnostics;

/// <summary>
/// Adds up the processor time that one loop's thread takes, iteration by iteration: what it waits is not counted. The loop's
/// thread writes, anybody reads while the loop waits.
/// </summary>
internal sealed partial class ThreadTimeMeter
{
    private const int ClockThreadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    private long _last = -1;
    private volatile bool _forget;

    /// <summary>Iterations in which the set of running requests stayed as it was.</summary>
    internal long SteadyIterations { get; private set; }

    /// <summary>Processor time of these iterations.</summary>
    internal long SteadyNanoseconds { get; private set; }

    /// <summary>Mean of a steady iteration; null before the first.</summary>
    internal double? SteadyMicroseconds => SteadyIterations == 0 ? null : SteadyNanoseconds / 1e3 / SteadyIterations;

    /// <summary>Called by the loop's own thread at the end of each iteration.</summary>
    internal void EndIteration(bool changing)
    {
        long now = Now();
        long taken = _last < 0 ? 0 : now - _last;
        _last = now;
        if (_forget)
        {
            // The iteration in which the loop was asked to forget began before that.
            _forget = false;
            (SteadyIterations, SteadyNanoseconds) = (0, 0);
            return;
        }

        if (!changing)
        {
            SteadyIterations++;
            SteadyNanoseconds += taken;
        }
    }

    /// <summary>Has the loop forget its times at the end of the present iteration.</summary>
    internal void Reset() => _forget = true;

    private static long Now() => GetTime(ClockThreadCpuTime, out TimeSpec time) == 0 ? (time.Seconds * 1_000_000_000) + time.Nanoseconds : 0;

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpec time);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        internal long Seconds;
        internal long Nanoseconds;
    }
}
