using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>bf16 matrix products at the widths of a 1.1B model.</summary>
public class GemmBenchmarks
{
    private GemmWorkload _decode = null!;
    private GemmWorkload _prefill = null!;

    /// <summary>Fills weights.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _decode = new GemmWorkload(1, 2048, 5632);
        _prefill = new GemmWorkload(512, 2048, 5632);
    }

    /// <summary>One row: bound by reading W.</summary>
    [Benchmark]
    [Work(2.0 * 2048 * 5632 / 1e9, "GB/s")]
    public void Decode() => _decode.Run();

    /// <summary>512 rows: bound by multiplying.</summary>
    [Benchmark]
    [Work(2.0 * 512 * 2048 * 5632 / 1e9, "GFLOP/s")]
    public void Prefill() => _prefill.Run();

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _decode.Dispose();
        _prefill.Dispose();
    }
}
