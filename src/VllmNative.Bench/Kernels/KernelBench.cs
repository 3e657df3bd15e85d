using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>Times the device's operations, group by group, beside the ceilings that it measures first.</summary>
internal static class KernelBench
{
    private static readonly (string Name, Func<KernelContext, IEnumerable<BenchEntry>> Measure)[] Groups =
    [
        ("attention", AttentionCases.Measure),
        ("gemm", GemmCases.Measure),
        ("sampling", SamplingCases.Measure),
        ("rows", RowCases.Measure),
        ("qkv", QkvCases.Measure),
        ("batch", BatchCases.Measure),
        ("memory", MemoryCases.Measure),
        ("swap", SwapCases.Measure),
    ];

    internal static IReadOnlyList<string> GroupNames { get; } = [.. Groups.Select(group => group.Name)];

    /// <param name="kind">What computes.</param>
    /// <param name="ordinal">Which of several GPUs.</param>
    /// <param name="threads">CPU threads; 0 = one for each core.</param>
    /// <param name="serialKernels">Whether kernels of a GPU may not overlap.</param>
    /// <param name="groups">Names of groups; empty = all.</param>
    /// <param name="command">The command line, for the report.</param>
    /// <param name="show">Gets each entry as soon as it is there.</param>
    /// <param name="cancellationToken">Ends the run between two cases.</param>
    internal static BenchReport Run(
        DeviceKind kind,
        int ordinal,
        int threads,
        bool serialKernels,
        IReadOnlyCollection<string> groups,
        string command,
        Action<BenchEntry> show,
        CancellationToken cancellationToken)
    {
        using Device device = Device.Create(kind, ordinal, threads, serialKernels: serialKernels);
        KernelPlan plan = DeviceCeilings.PlanOf(device);
        List<BenchEntry> entries = [];
        DeviceCeilings ceilings = DeviceCeilings.Measure(device, plan, entries);
        entries.ForEach(show);
        using var timer = new KernelTimer(device);
        var context = new KernelContext(device, plan, ceilings, timer);
        foreach ((string name, Func<KernelContext, IEnumerable<BenchEntry>> measure) in Groups)
        {
            if (groups.Count > 0 && !groups.Contains(name))
            {
                continue;
            }

            foreach (BenchEntry entry in measure(context))
            {
                cancellationToken.ThrowIfCancellationRequested();
                entries.Add(entry);
                show(entry);
            }
        }

        return Provenance.Report("kernels", device.Describe(), command, entries);
    }
}
