using VllmNative.Diagnostics;

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
}
