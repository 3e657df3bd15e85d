using VllmNative.Bindings;
using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Diagnostics;

/// <summary>The words for what the native library answers in numbers.</summary>
public sealed class DeviceDescriptionTests
{
    [Theory]
    [InlineData(NativeConstants.IsaScalar, "scalar code")]
    [InlineData(NativeConstants.IsaAVX2, "AVX2")]
    [InlineData(NativeConstants.IsaAVX512, "AVX-512")]
    [InlineData(NativeConstants.IsaAVX512BF16, "AVX-512 with BF16")]
    [InlineData(NativeConstants.IsaAmx, "AVX-512 with AMX")]
    [InlineData(99, "capability 99")]
    public void CpuCapability_IsItsInstructionSet(int capability, string expected) =>
        Assert.Equal(expected, Describe(DeviceKind.Cpu, capability, 1).CapabilityName);

    [Fact]
    public void CudaCapability_IsMajorAndMinor() => Assert.Equal("compute capability 9.0", Describe(DeviceKind.Cuda, 90, 132).CapabilityName);

    [Theory]
    [InlineData(DeviceKind.Cpu, 1, "1 thread")]
    [InlineData(DeviceKind.Cpu, 2, "2 threads")]
    [InlineData(DeviceKind.Cuda, 132, "132 SMs")]
    public void Parallelism_CountsThreadsOrMultiprocessors(DeviceKind kind, int count, string expected) =>
        Assert.Equal(expected, Describe(kind, 1, count).Parallelism);

    [Fact]
    public void Kinds_AreTheLibrarys()
    {
        Assert.Equal(NativeConstants.DeviceCpu, (int)DeviceKind.Cpu);
        Assert.Equal(NativeConstants.DeviceCuda, (int)DeviceKind.Cuda);
    }

    private static DeviceDescription Describe(DeviceKind kind, int capability, int threads) => new(kind, "name", threads, capability, 2, 1, false, true, true);
}
