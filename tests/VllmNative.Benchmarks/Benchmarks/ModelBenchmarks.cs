using BenchmarkDotNet.Attributes;
using VllmNative.Benchmarks.Workloads;

namespace VllmNative.Benchmarks;

/// <summary>The whole engine on a 1.1B-shaped model with random weights.</summary>
public class ModelBenchmarks
{
    private const int Steps = 8;

    private TinyLlamaWorkload _model = null!;

    /// <summary>Fills 2.2 GB of weights.</summary>
    [GlobalSetup]
    public void Setup() => _model = new TinyLlamaWorkload();

    /// <summary>A decode step of one sequence.</summary>
    [Benchmark(OperationsPerInvoke = Steps)]
    public void DecodeStepOfOne() => _model.Decode(1, Steps);

    /// <summary>A decode step of 16 sequences.</summary>
    [Benchmark(OperationsPerInvoke = Steps)]
    public void DecodeStepOf16() => _model.Decode(16, Steps);

    /// <summary>A prompt of 512 tokens.</summary>
    [Benchmark]
    public double Prefill512() => _model.Prefill(512);

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Cleanup() => _model.Dispose();
}
