using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Simulation;

/// <summary>A device whose steps take what those of a trace say that they would, and whose block copies go on beside them.</summary>
/// <param name="times">Of steps.</param>
/// <param name="blockBytes">Bytes of a block.</param>
/// <param name="bytesPerSecond">How fast blocks are copied between device and host.</param>
internal sealed class PredictedDevice(StepTimes times, long blockBytes, double bytesPerSecond) : IVirtualDevice
{
    private readonly SimulatedCopies _copies = new(Math.Max(blockBytes, 1), bytesPerSecond);
    private readonly Queue<(long StepId, double Submitted, double Begins, double Ends)> _inFlight = new();
    private readonly long[] _dealt = new long[StepTimes.Decks];
    private double _lastEnds;

    public bool Lost => false;

    public bool Stopped => false;

    public double ComesAt(RecordedRequest request) => request.Arrived;

    public double NextAction(double now) => now;

    public double Submit(StepPlan plan, double now)
    {
        // With a step in flight, planning the next one costs nobody time.
        double submitted = now + (_inFlight.Count == 0 ? times.HostSeconds : 0);
        double begins = Math.Max(submitted, _lastEnds);
        // Blocks are copied when the steps before have filled them.
        _copies.Begin(plan, begins);
        StepLoad load = StepLoad.Of(plan);
        double ends = begins + times.Of(load, _dealt[StepTimes.DeckOf(load)]++);
        _lastEnds = plan.AwaitsSwaps ? Math.Max(ends, _copies.AllEnd) : ends;
        _inFlight.Enqueue((plan.StepId, submitted, begins, _lastEnds));
        return submitted;
    }

    public VirtualStep Collect()
    {
        (long id, double submitted, double begins, double ends) = _inFlight.Dequeue();
        (long done, long bytes, double seconds) = _copies.Collect(id, ends);
        return new VirtualStep(submitted, ends, ends - begins, done, bytes, seconds);
    }

    public bool EndsWithLastToken(RecordedRequest request) => true;
}
