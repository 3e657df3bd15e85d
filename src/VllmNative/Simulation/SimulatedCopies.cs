using VllmNative.Steps;

namespace VllmNative.Simulation;

/// <summary>Block copies between device and host on a virtual clock: one after the other, beside the steps.</summary>
/// <param name="blockBytes">Bytes of a block.</param>
/// <param name="bytesPerSecond">How fast they are copied.</param>
internal sealed class SimulatedCopies(long blockBytes, double bytesPerSecond)
{
    private readonly Queue<(long StepId, double Ends, long Bytes, double Seconds)> _underWay = new();
    private double _lastEnds;

    /// <summary>When all copies that were begun will have happened.</summary>
    internal double AllEnd => _underWay.Count == 0 ? 0 : _lastEnds;

    internal void Begin(StepPlan plan, double now)
    {
        if (plan.BlockSwaps.Count > 0)
        {
            long bytes = plan.BlockSwaps.Count * blockBytes;
            double seconds = bytes / bytesPerSecond;
            _lastEnds = Math.Max(now, _lastEnds) + seconds;
            _underWay.Enqueue((plan.StepId, _lastEnds, bytes, seconds));
        }
    }

    /// <summary>A step has returned.</summary>
    /// <returns>The largest step id, up to its own, such that the copies of every step up to it have happened; and what happened since the last call.</returns>
    internal (long Done, long Bytes, double Seconds) Collect(long stepId, double now)
    {
        long bytes = 0;
        double seconds = 0;
        while (_underWay.TryPeek(out (long StepId, double Ends, long Bytes, double Seconds) copy) && copy.StepId <= stepId && copy.Ends <= now)
        {
            bytes += copy.Bytes;
            seconds += copy.Seconds;
            _underWay.Dequeue();
        }

        return (_underWay.TryPeek(out (long StepId, double Ends, long Bytes, double Seconds) next) ? Math.Min(stepId, next.StepId - 1) : stepId, bytes, seconds);
    }
}
