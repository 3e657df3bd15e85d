using BenchmarkDotNet.Attributes;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Benchmarks;

/// <summary>What it costs to cross into the native library and back: handles, status check, nothing to do.</summary>
public class NativeCallBenchmarks
{
    private Device _device = null!;

    /// <summary>Makes a device.</summary>
    [GlobalSetup]
    public void Setup() => _device = Device.Create(DeviceKind.Cpu, 0, 1);

    /// <summary>A call with one handle.</summary>
    [Benchmark]
    public void Synchronize() => _device.Synchronize();

    /// <summary>A call with a handle, two pointers and two numbers.</summary>
    [Benchmark]
    public void CopyNothing() => _device.CopyToDevice(0, 0, 0);

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Cleanup() => _device.Dispose();
}
