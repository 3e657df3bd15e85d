namespace VllmNative.Diagnostics;

/// <summary>What a device is.</summary>
/// <param name="Kind">CPU or CUDA.</param>
/// <param name="Name">The maker's name.</param>
/// <param name="Threads">CPU threads that compute, or SMs of a GPU.</param>
/// <param name="Capability">CUDA: major * 10 + minor; CPU: 1 scalar, 2 AVX2, 3 AVX-512, 4 AVX-512 BF16, 5 AMX.</param>
/// <param name="TotalMemory">Bytes.</param>
/// <param name="FreeMemory">Bytes, when asked.</param>
/// <param name="HasGraphs">Whether it records and replays graphs.</param>
/// <param name="BatchInvariant">Whether results never depend on the batch.</param>
/// <param name="HasFp8">Whether it can keep K and V in fp8.</param>
public sealed record DeviceDescription(
    DeviceKind Kind,
    string Name,
    int Threads,
    int Capability,
    long TotalMemory,
    long FreeMemory,
    bool HasGraphs,
    bool BatchInvariant,
    bool HasFp8)
{
    /// <summary>What computes in parallel, in words: <c>2 threads</c>, <c>132 SMs</c>.</summary>
    public string Parallelism => Kind == DeviceKind.Cpu ? $"{Threads} thread{(Threads == 1 ? "" : "s")}" : $"{Threads} SMs";

    /// <summary>The capability in words.</summary>
    public string CapabilityName => (Kind, Capability) switch
    {
        (DeviceKind.Cpu, 1) => "scalar code",
        (DeviceKind.Cpu, 2) => "AVX2",
        (DeviceKind.Cpu, 3) => "AVX-512",
        (DeviceKind.Cpu, 4) => "AVX-512 with BF16",
        (DeviceKind.Cpu, 5) => "AVX-512 with AMX",
        (DeviceKind.Cuda, _) => $"compute capability {Capability / 10}.{Capability % 10}",
        _ => $"capability {Capability}",
    };
}
