using VllmNative.Diagnostics;
using VllmNative.Recording;

namespace VllmNative.Simulation;

/// <summary>Replays what an engine recorded (EngineOptions.RecordTo) without a model or a device, also with other settings than it had.</summary>
public static class TraceSimulator
{
    /// <summary>Simulates a trace with its own settings, and with the changes.</summary>
    /// <param name="path">The trace.</param>
    /// <param name="changes">What the engine shall do otherwise.</param>
    /// <exception cref="VllmException">The file cannot be used, and the message names line and field; or an option is out of range.</exception>
    public static SimulationReport Run(string path, SimulationOptions changes)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(changes);
        return Run(TraceReader.Read(path), changes);
    }

    /// <summary>Simulates a trace without its first requests, such as those that warmed up.</summary>
    internal static SimulationReport Run(string path, SimulationOptions changes, int skippedRequests) => Run(TraceReader.Read(path).Skip(skippedRequests), changes);

    internal static SimulationReport Run(RecordedTrace trace, SimulationOptions changes)
    {
        TraceHeader changed = changes.Apply(trace.Header);
        RecordedRequest[] served = [.. trace.Requests.Where(request => request.OutputLength > 0)];
        if (served.Length == 0)
        {
            throw new VllmException("the trace has no request with output");
        }

        var times = new StepTimes(trace);
        ServingFigures Predict(TraceHeader setup, double bytesPerSecond) =>
            ServingFigures.Of(Serve(setup, new PredictedDevice(times, setup.BlockBytes, bytesPerSecond), served, trace.Orders));

        var recorded = new RunOutcome([.. served.Select(RequestOutcome.Of)], [.. trace.Steps.Select(StepOutcome.Of)], trace.Header.NumBlocks);
        return new SimulationReport
        {
            Model = trace.Header.Model,
            Device = trace.Header.Device,
            Recorded = ServingFigures.Of(recorded),
            Replayed = Predict(trace.Header, times.SwapBytesPerSecond),
            Changed = changes == new SimulationOptions() ? null : Predict(changed, changes.BytesPerSecond ?? times.SwapBytesPerSecond),
            HadDiskTier = trace.Header.DiskTier,
            Steps = trace.Steps.Count,
            StepsPlannedAlike = PlannedAlike(trace),
            LeftOut = trace.Requests.Count - served.Length,
            DroppedSteps = trace.DroppedSteps,
            DroppedRequests = trace.DroppedRequests,
            DroppedOrders = trace.DroppedOrders,
        };
    }

    private static RunOutcome Serve(TraceHeader setup, PredictedDevice device, RecordedRequest[] requests, IReadOnlyList<CacheOrder> orders)
    {
        RunOutcome run = new VirtualEngine(setup, device, requests, orders).Run();
        return run.Unserved == 0 ? run : throw new VllmException(FormattableString.Invariant(
            $"simulation: {run.Unserved} requests wait and none can be computed with {setup.NumBlocks} KV blocks (NumBlocks)"));
    }

    private static int? PlannedAlike(RecordedTrace trace) => trace is { HasAllSteps: true, DroppedRequests: 0, DroppedOrders: 0 }
        ? new VirtualEngine(trace.Header, new RecordedDevice(trace), trace.Requests, trace.Orders).Run().Steps
            .Zip(trace.Steps).TakeWhile(pair => pair.First == StepOutcome.Of(pair.Second)).Count()
        : null;
}
