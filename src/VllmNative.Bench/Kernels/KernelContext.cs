using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>What every group of kernels measures with, and how a time becomes an entry.</summary>
internal sealed record KernelContext(Device Device, KernelPlan Plan, DeviceCeilings Ceilings, KernelTimer Timer)
{
    private const double LeastBytes = 1 << 20;

    /// <summary>How many sets of buffers of this size a case goes through.</summary>
    internal int Copies(long bytes, int atLeast = 1, int atMost = 64) => (int)Math.Clamp(Plan.RotateBytes / Math.Max(bytes, 1), atLeast, atMost);

    /// <summary>A kernel that memory bounds, as a rate.</summary>
    internal BenchEntry Bandwidth(string name, Distribution microseconds, double bytes) =>
        (BenchEntry.Of(name, microseconds.Select(us => bytes / us / 1e3), "GB/s", Better.Higher) with { TimeUs = Figures.Round(microseconds.Median) })
        .Below(Ceilings.BytesPerSecond / 1e9);

    /// <summary>A kernel that the matrix units bound, as a rate.</summary>
    internal BenchEntry Arithmetic(string name, Distribution microseconds, double operations) =>
        (BenchEntry.Of(name, microseconds.Select(us => operations / us / 1e6), "TFLOP/s", Better.Higher) with { TimeUs = Figures.Round(microseconds.Median) })
        .Below(Ceilings.OperationsPerSecond / 1e12);

    /// <summary>
    /// A kernel by its time, beside the time that moving its bytes takes at least. A few bytes have no such floor: what counts
    /// there is how long a launch takes.
    /// </summary>
    internal BenchEntry Time(string name, Distribution microseconds, double bytes) =>
        BenchEntry.Of(name, microseconds, "us", Better.Lower).Below(bytes < LeastBytes ? null : bytes / Ceilings.BytesPerSecond * 1e6);
}
