using VllmNative.Bench.Results;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Serving;

/// <summary>The figures of a run, as they come.</summary>
/// <param name="kind">The report's.</param>
/// <param name="command">The command line, for the report.</param>
/// <param name="show">Gets each entry as soon as it is there.</param>
internal sealed class BenchRun(string kind, string command, Action<BenchEntry> show)
{
    private readonly List<BenchEntry> _entries = [];

    internal void Add(BenchEntry entry)
    {
        _entries.Add(entry);
        show(entry);
    }

    internal void AddAll(IEnumerable<BenchEntry> entries)
    {
        foreach (BenchEntry entry in entries)
        {
            Add(entry);
        }
    }

    internal BenchReport Report(DeviceDescription device) => Provenance.Report(kind, device, command, _entries);
}
