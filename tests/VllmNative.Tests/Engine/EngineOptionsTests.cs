using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Options that cannot be honoured are all named at once.</summary>
public sealed class EngineOptionsTests
{
    [Fact]
    public void Every_broken_rule_is_in_the_one_error()
    {
        var options = new EngineOptions
        {
            Model = " ",
            DeviceOrdinal = -1,
            Threads = 1025,
            Dtype = (ModelDtype)77,
            MaxModelLen = 0,
            BlockSize = 257,
            MaxNumSeqs = 65537,
            MaxNumBatchedTokens = 0,
            LongPrefillTokenThreshold = -2,
            GpuMemoryUtilization = 1.5,
            KvCacheMemoryBytes = 0,
            NumBlocksOverride = 1,
            SwapSpace = 4,
            KvCacheDtype = (KvCacheDtype)9,
            LoadFormat = (LoadFormat)5,
            RequestTimeout = TimeSpan.Zero,
            QueueTimeout = TimeSpan.FromSeconds(-1),
        };
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(options));
        string[] expected =
        [
            "Model is empty", "DeviceOrdinal is -1", "Threads is 1025, expected 0..1024", "Dtype is 77", "MaxModelLen is 0, expected 1",
            "BlockSize is 257, expected 1..256", "MaxNumSeqs is 65537, expected 1..65536", "MaxNumBatchedTokens is 0, expected 1..1048576",
            "LongPrefillTokenThreshold is -2", "GpuMemoryUtilization is 1.5, expected above 0 and at most 1",
            "but the device is the CPU", "KvCacheMemoryBytes is 0", "NumBlocksOverride is 1, expected 2", "SwapSpace is 4 GiB",
            "KvCacheDtype is 9, expected Auto, Float32, Float16, BFloat16 or Fp8", "LoadFormat is 5", "RequestTimeout is 00:00:00", "QueueTimeout is -00:00:01",
            "MaxNumSeqs is 65537, expected at most MaxNumBatchedTokens, which is 0",
        ];
        Assert.All(expected, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(double.NaN)]
    [InlineData(-1)]
    public void Swap_space_is_refused_where_nothing_swaps(double space)
    {
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { SwapSpace = space }));
        Assert.Contains("SwapSpace is ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_defaults_are_valid() => new EngineOptions { Model = "somewhere" }.Validate();

    [Fact]
    public void A_context_longer_than_the_models_is_refused_with_both_lengths()
    {
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { MaxModelLen = 513 }));
        Assert.Contains("MaxModelLen is 513, the model's context is 512", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cache_of_less_than_two_blocks_is_refused_with_the_size_of_a_block()
    {
        EngineOptions options = TestEngines.Tiny with { NumBlocksOverride = null, KvCacheMemoryBytes = 1000 };
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(options));
        Assert.Contains("KvCacheMemoryBytes is 1000, but two KV blocks of 49152 bytes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pool_that_no_memory_holds_is_refused_in_words()
    {
        Exception error = Assert.ThrowsAny<Exception>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = int.MaxValue, BlockSize = 256 }));
        Assert.True(error is VllmException or VllmNative.Bindings.NativeException, error.ToString());
    }

    [Fact]
    public void A_gpu_that_is_not_there_is_refused_in_words()
    {
        Assert.SkipWhen(File.Exists("/dev/nvidia0"), "this machine has a GPU");
        var error = Assert.Throws<VllmNative.Bindings.NativeException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { Device = DeviceKind.Cuda }));
        Assert.Equal(VllmNative.Bindings.NativeStatus.NoDevice, error.Status);
        Assert.NotEmpty(error.Message);
    }

    [Fact]
    public void Capabilities_say_what_was_made_of_the_options()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = null, MaxNumBatchedTokens = 7, EnforceEager = false, MaxModelLen = 100 });
        EngineCapabilities c = engine.Capabilities;
        bool gpu = TestDevice.Kind == DeviceKind.Cuda;
        Assert.Equal((7, 7, 100, gpu, !gpu), (c.MaxNumSeqs, c.MaxNumBatchedTokens, c.MaxModelLen, c.Graphs, c.BatchInvariant));
        Assert.Equal((512, 49152L), (engine.Memory.TotalBlocks, engine.Memory.BlockBytes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Batch_invariance_is_asked_for_on_a_gpu_and_a_matter_of_course_on_the_cpu(bool deterministic)
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { Device = TestDevice.Kind, Deterministic = deterministic });
        Assert.Equal(deterministic || TestDevice.Kind == DeviceKind.Cpu, engine.Capabilities.BatchInvariant);
        Assert.Equal(engine.Capabilities.BatchInvariant, engine.Capabilities.Device.BatchInvariant);
    }
}
