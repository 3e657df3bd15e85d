using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests;

/// <summary>
/// The device that the golden and the tensor tests run on: the CPU, or a GPU where VLLM_NATIVE_TEST_DEVICE is "cuda" (tests/gpu/run.sh).
/// </summary>
internal static class TestDevice
{
    internal static DeviceKind Kind { get; } = Environment.GetEnvironmentVariable("VLLM_NATIVE_TEST_DEVICE") switch
    {
        null or "" or "cpu" => DeviceKind.Cpu,
        "cuda" => DeviceKind.Cuda,
        string other => throw new InvalidOperationException($"VLLM_NATIVE_TEST_DEVICE is \"{other}\", expected cpu or cuda"),
    };

    /// <summary>Skips a test of what only a batch-invariant device promises.</summary>
    internal static void RequireBatchInvariance() =>
        Assert.SkipWhen(Kind == DeviceKind.Cuda, "the CUDA device's results may depend on the batch in the last bits");
}
