using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>
/// Times launches by the device's own events. Where the device has graphs, launches are recorded once and replayed, so that
/// the host's share is not counted.
/// </summary>
internal sealed class KernelTimer : IDisposable
{
    private const int Replays = 11;
    private const int WarmUps = 2;

    private readonly Device _device;
    private readonly bool _graphs;
    private readonly DeviceEvent _begin;
    private readonly DeviceEvent _end;

    internal KernelTimer(Device device)
    {
        _device = device;
        _graphs = device.Describe().HasGraphs;
        _begin = new DeviceEvent(device);
        _end = new DeviceEvent(device);
    }

    /// <summary>Microseconds of one launch, a sample for each of eleven rounds.</summary>
    /// <param name="launch">Gets 0, 1, 2 ... in a round, to go from one set of buffers to the next.</param>
    internal Distribution Measure(Action<int> launch)
    {
        // The first launch loads modules and makes plans; the second says how many make a round.
        Time(() => launch(0));
        double once = Time(() => launch(1));
        return MeasureRound(_graphs ? Math.Clamp((int)(10e3 / once), 2, 64) : Math.Clamp((int)(5e3 / once), 1, 64), launch);
    }

    /// <summary>As <see cref="Measure"/>, with so many launches in a round.</summary>
    internal Distribution MeasureRound(int launches, Action<int> launch)
    {
        void Round()
        {
            for (int i = 0; i < launches; i++)
            {
                launch(i);
            }
        }

        Round();
        _device.Synchronize();
        using DeviceGraph? graph = _graphs ? DeviceGraph.Record(_device, Round) : null;
        Action replay = graph is null ? Round : graph.Launch;
        for (int i = 0; i < WarmUps; i++)
        {
            replay();
        }

        return new Distribution(Enumerable.Range(0, Replays).Select(_ => Time(replay) / launches).ToArray());
    }

    public void Dispose()
    {
        _begin.Dispose();
        _end.Dispose();
    }

    private double Time(Action work)
    {
        _begin.Record();
        work();
        _end.Record();
        _end.Synchronize();
        return Math.Max(_begin.MillisecondsUntil(_end) * 1e3, 1e-3);
    }
}
