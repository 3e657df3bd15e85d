using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Measures, on the device, how long steps compute and how long the device waits between them. For benchmarks.</summary>
internal sealed class StepClock : IDisposable
{
    private readonly DeviceTimeMeter _meter;

    // One pair more than steps in flight: the end of the step before is read when its successor has ended.
    private readonly DeviceEvent[] _begins;
    private readonly DeviceEvent[] _ends;
    private long _launched;
    private long _completed;

    internal StepClock(Device device, int stepsInFlight, DeviceTimeMeter meter)
    {
        _meter = meter;
        _begins = [.. Enumerable.Range(0, stepsInFlight + 1).Select(_ => new DeviceEvent(device))];
        _ends = [.. Enumerable.Range(0, stepsInFlight + 1).Select(_ => new DeviceEvent(device))];
    }

    internal void Begin() => _begins[Index(_launched)].Record();

    internal void End() => _ends[Index(_launched++)].Record();

    /// <summary>The oldest step that was not reported has ended.</summary>
    internal void Report()
    {
        int index = Index(_completed);
        // The event behind the step's results happens just before the step's own end.
        _ends[index].Synchronize();
        float busy = _begins[index].MillisecondsUntil(_ends[index]);
        float idle = _completed == 0 ? 0 : _ends[Index(_completed - 1)].MillisecondsUntil(_begins[index]);
        _completed++;
        _meter.Add(busy, idle);
    }

    public void Dispose()
    {
        foreach (DeviceEvent timed in _begins.Concat(_ends))
        {
            timed.Dispose();
        }
    }

    private int Index(long step) => (int)(step % _begins.Length);
}
