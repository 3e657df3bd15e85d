using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>What the device does at its best, measured in the same run as what is held against it.</summary>
/// <param name="BytesPerSecond">Of a large copy inside the device's memory, reads and writes counted.</param>
/// <param name="OperationsPerSecond">Of a large bf16 product, multiplications and additions counted.</param>
internal sealed record DeviceCeilings(double BytesPerSecond, double OperationsPerSecond)
{
    internal static string CopyName => "copy on the device";

    internal static string GemmName(int size) => $"bf16 GEMM {size} x {size} x {size}";

    /// <summary>Measures both; entries get what was measured.</summary>
    internal static DeviceCeilings Measure(Device device, KernelPlan plan, ICollection<BenchEntry> entries)
    {
        using var timer = new KernelTimer(device);
        Distribution copy = Copy(device, plan.CopyBytes, timer);
        entries.Add(BenchEntry.Of(CopyName, copy.Select(us => 2 * plan.CopyBytes / us / 1e3), "GB/s", Better.Higher) with { TimeUs = Figures.Round(copy.Median), Headline = true });
        int size = plan.CeilingGemm;
        double operations = 2.0 * size * size * size;
        Distribution gemm = Gemm(device, size, timer);
        entries.Add(BenchEntry.Of(GemmName(size), gemm.Select(us => operations / us / 1e6), "TFLOP/s", Better.Higher) with { TimeUs = Figures.Round(gemm.Median), Headline = true });
        return new DeviceCeilings(2e6 * plan.CopyBytes / copy.Median, 1e6 * operations / gemm.Median);
    }

    /// <summary>The plan of a device's kind.</summary>
    internal static KernelPlan PlanOf(Device device) => device.Kind == DeviceKind.Cuda ? KernelPlan.Gpu : KernelPlan.Cpu;

    private static Distribution Copy(Device device, long bytes, KernelTimer timer)
    {
        using DeviceBuffer from = device.Allocate(bytes);
        using DeviceBuffer to = device.Allocate(bytes);
        using var random = new RandomSource(device);
        random.Fill(from.Data, bytes);
        return timer.Measure(_ => device.CopyOnDevice(to.Data, from.Data, bytes));
    }

    private static Distribution Gemm(Device device, int size, KernelTimer timer)
    {
        using Weight weight = device.CreateWeight(lookup: false, DataType.BFloat16, size, size);
        weight.Fill(1, 0.05f);
        long bytes = 2L * size * size;
        using DeviceBuffer x = device.Allocate(bytes);
        using DeviceBuffer y = device.Allocate(bytes);
        using DeviceBuffer workspace = device.Allocate(ModelOps.GemmWorkspace(weight, DataType.BFloat16, size));
        using var random = new RandomSource(device);
        random.Fill(x.Data, bytes);
        Tensor input = Tensor.Matrix(x.Data, DataType.BFloat16, size, size);
        Tensor output = Tensor.Matrix(y.Data, DataType.BFloat16, size, size);
        return timer.Measure(_ => device.Gemm(weight, input, default, output, new Workspace(workspace.Data, workspace.Bytes)));
    }
}
