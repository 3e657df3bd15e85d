using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using VllmNative.Engine;

namespace VllmNative.Benchmarks.Report;

/// <summary>Continuous against static batching on this machine: the demo model, since a sweep takes many tokens.</summary>
internal static class BatchingFigures
{
    // Both in turns: what slows the machine down for a while slows both down.
    private const int Rounds = 7;

    /// <summary>Measures, shows what comes, and writes report and plot.</summary>
    /// <param name="machine">Where.</param>
    /// <param name="folder">For the files; null = none are written.</param>
    internal static void Measure(Machine machine, string? folder)
    {
        var settings = new BatchingSettings
        {
            Engine = new EngineOptions { Model = BenchmarkFiles.Asset("models", "demo"), Threads = machine.Threads },
            Workload = Workload.Load(BenchmarkFiles.Asset("workloads", "chat-1000.json")).Take(96),
            StaticRows = 0,
            StaticRequests = 0,
            Batches = [1, 2, 4, 8, 16, 32],
        };
        settings.Validate();
        List<BatchSweep> rounds = [];
        BenchReport last;
        do
        {
            (last, BatchSweep round) = BatchingBench.Run(settings, new BenchRun("batching", machine.Command, _ => { }));
            Console.WriteLine(round.Table());
            rounds.Add(round);
        }
        while (rounds.Count < Rounds);
        BatchSweep sweep = BatchSweep.FastestOf(rounds);
        BenchReport report = last with { Entries = [.. sweep.Entries()] };
        if (folder is not null)
        {
            string file = Path.Combine(folder, machine.Slug + "-batching");
            File.WriteAllText(file + ".json", report.ToJson());
            File.WriteAllText(file + ".svg", sweep.Plot().ToSvg());
        }
    }
}
