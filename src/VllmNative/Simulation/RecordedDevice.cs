using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Simulation;

/// <summary>
/// A device that repeats what a trace says, to the moment: what the engine decides must then be what was recorded. It is lost with the
/// first step that is planned otherwise.
/// </summary>
/// <param name="trace">With all steps.</param>
internal sealed class RecordedDevice(RecordedTrace trace) : IVirtualDevice
{
    private readonly Queue<(long StepId, long Bytes)> _copies = new();
    private int _submitted;
    private int _collected;

    public bool Lost { get; private set; }

    public bool Stopped => _submitted == trace.Steps.Count;

    public double ComesAt(RecordedRequest request) => request.Queued;

    public double NextAction(double now) => RecordedAction() is < double.PositiveInfinity and var next ? Math.Max(now, next) : now;

    public double Submit(StepPlan plan, double now)
    {
        RecordedStep step = trace.Steps[_submitted];
        if (step.Submitted != now || step.Failed || step.Load != StepLoad.Of(plan))
        {
            Lost = true;
            return now;
        }

        if (plan.BlockSwaps.Count > 0)
        {
            _copies.Enqueue((plan.StepId, plan.BlockSwaps.Count * trace.Header.BlockBytes));
        }

        _submitted++;
        return now;
    }

    public VirtualStep Collect()
    {
        RecordedStep step = trace.Steps[_collected++];
        // A step's copies are seen to have happened all together.
        for (long left = step.SwapBytes; left > 0 && _copies.TryDequeue(out (long StepId, long Bytes) copies);)
        {
            left -= copies.Bytes;
        }

        long done = _copies.TryPeek(out (long StepId, long Bytes) next) ? Math.Min(step.Id, next.StepId - 1) : step.Id;
        return new VirtualStep(step.Submitted, step.Ended, step.Seconds, done, step.SwapBytes, step.SwapSeconds);
    }

    public bool EndsWithLastToken(RecordedRequest request) => request.Ended <= RecordedAction();

    // The engine's thread hands the next step over, or takes one back.
    private double RecordedAction() => Math.Min(
        _submitted < trace.Steps.Count ? trace.Steps[_submitted].Submitted : double.PositiveInfinity,
        _collected < _submitted ? trace.Steps[_collected].Ended : double.PositiveInfinity);
}
