using VllmNative.Diagnostics;
using VllmNative.Engine;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Recommended settings depend on the hardware, and are valid.</summary>
public sealed class ForHardwareTests
{
    [Theory]
    [InlineData(0, 0, DeviceKind.Cpu, 2048, 256, null)]
    [InlineData(80, 0, DeviceKind.Cpu, 2048, 256, null)]
    [InlineData(0.5, 1, DeviceKind.Cuda, 2048, 256, 0.9)]
    [InlineData(69.9, 1, DeviceKind.Cuda, 2048, 256, 0.9)]
    [InlineData(70, 1, DeviceKind.Cuda, 8192, 1024, 0.9)]
    [InlineData(140, 1, DeviceKind.Cuda, 8192, 1024, 0.9)]
    public void Each_tier_has_its_settings(double memory, int gpus, DeviceKind device, int batchedTokens, int seqs, double? utilization)
    {
        EngineOptions options = EngineOptions.ForHardware("somewhere", memory, gpus);
        options.Validate();
        EngineOptions expected = new()
        {
            Model = "somewhere",
            Device = device,
            MaxNumBatchedTokens = batchedTokens,
            MaxNumSeqs = seqs,
            GpuMemoryUtilization = utilization,
            SwapSpace = 4 * gpus,
        };
        Assert.Equal(expected, options);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(-1)]
    public void One_engine_uses_one_gpu(int gpus)
    {
        var error = Assert.Throws<VllmException>(() => EngineOptions.ForHardware("somewhere", 80, gpus));
        Assert.Equal($"engine options: gpuCount is {gpus}, expected 0 or 1, since one engine uses one GPU", error.Message);
    }

    [Theory]
    [InlineData(0, 1, "0")]
    [InlineData(-1.5, 1, "-1.5")]
    [InlineData(double.NaN, 1, "NaN")]
    [InlineData(double.PositiveInfinity, 1, "Infinity")]
    [InlineData(-1, 0, "-1")]
    [InlineData(double.NaN, 0, "NaN")]
    public void Memory_that_cannot_be_is_refused(double memory, int gpus, string value)
    {
        var error = Assert.Throws<VllmException>(() => EngineOptions.ForHardware("somewhere", memory, gpus));
        Assert.Equal($"engine options: gpuMemoryGiB is {value}, expected a finite number above 0, or 0 without a GPU", error.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData(null)]
    public void A_model_is_needed(string? model)
    {
        var error = Assert.Throws<VllmException>(() => EngineOptions.ForHardware(model!, 80, 1));
        Assert.Equal("engine options: model is empty, expected a model directory", error.Message);
    }
}
