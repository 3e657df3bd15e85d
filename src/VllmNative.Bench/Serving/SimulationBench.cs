using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Simulation;

namespace VllmNative.Bench.Serving;

/// <summary>How far a simulation is from what was measured: a workload runs while it is recorded, then the record is replayed with the same settings.</summary>
internal static class SimulationBench
{
    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    internal static BenchReport Run(ThroughputSettings settings, BenchRun run)
    {
        string? folder = settings.Engine.RecordTo is null ? Directory.CreateTempSubdirectory("vllm-native-").FullName : null;
        try
        {
            string file = settings.Engine.RecordTo ?? Path.Combine(folder!, "trace.jsonl");
            return Run(settings, file, run);
        }
        finally
        {
            if (folder is not null)
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    private static BenchReport Run(ThroughputSettings settings, string file, BenchRun run)
    {
        DeviceDescription device;
        string where;
        int warmUp;
        using (ServingContext context = ServingContext.Open(settings.EngineOptionsFor() with { RecordTo = file }))
        {
            device = context.Engine.Capabilities.Device;
            where = $"{context.Model}, {settings.Workload.Name}, {settings.Workload.Requests.Count} requests, {context.Engine.Capabilities.MaxNumSeqs} at a time, handed in {settings.Arrivals}";
            warmUp = WorkloadRun.WarmUp(context, settings.Workload);
            _ = settings.RequestRate is { } rate ? WorkloadRun.Arriving(context, settings.Workload, rate) : WorkloadRun.AllAtOnce(context, settings.Workload);
            if (context.Engine.RecordingError is { } error)
            {
                throw new VllmException(error);
            }
        }

        // The end of the engine is the end of the file.
        SimulationReport report = TraceSimulator.Run(file, new SimulationOptions(), warmUp);
        (string Name, string Unit, double Scale, Better Better, Func<ServingFigures, double> Of)[] figures =
        [
            ("output tokens a second", "tok/s", 1, Better.Higher, figures => figures.OutputTokensPerSecond),
            ("TTFT p50", "ms", 1e3, Better.Lower, figures => figures.TimeToFirstToken.P50),
            ("TTFT p99", "ms", 1e3, Better.Lower, figures => figures.TimeToFirstToken.P99),
            ("ITL p50", "ms", 1e3, Better.Lower, figures => figures.InterTokenLatency.P50),
            ("ITL p99", "ms", 1e3, Better.Lower, figures => figures.InterTokenLatency.P99),
            ("preemptions", "requests", 1, Better.Lower, figures => figures.Preemptions),
        ];
        foreach ((string name, string unit, double scale, Better better, Func<ServingFigures, double> of) in figures)
        {
            (double measured, double simulated) = (of(report.Recorded), of(report.Replayed));
            run.Add(BenchEntry.Of($"{name}, measured, {where}", scale * measured, unit, better));
            run.Add(BenchEntry.Of($"{name}, simulated, {where}", scale * simulated, unit, better));
            if (measured > 0)
            {
                // 1 is best; which side is worse depends on what it is used for.
                run.Add(BenchEntry.Of($"{name}, simulated over measured, {where}", simulated / measured, "x", Better.Higher).AsHeadline());
            }
        }

        run.Add(BenchEntry.Of($"requests replayed, {where}", report.Replayed.Requests, "requests", Better.Higher));
        run.Add(BenchEntry.Of($"steps that the recorder dropped, {where}", report.DroppedSteps, "steps", Better.Lower));
        return run.Report(device);
    }
}
