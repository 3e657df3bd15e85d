using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
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
            SwapSpace = -4,
            KvOffloadSpace = 65537,
            ResidualDtype = (ResidualDtype)3,
            KvCacheDtype = (KvCacheDtype)9,
            LoadFormat = (LoadFormat)5,
            LogprobsMode = (LogprobsMode)2,
            RequestTimeout = TimeSpan.Zero,
            QueueTimeout = TimeSpan.FromSeconds(-1),
        };
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(options));
        string[] expected =
        [
            "Model is empty", "DeviceOrdinal is -1", "Threads is 1025, expected 0..1024", "Dtype is 77", "MaxModelLen is 0, expected 1",
            "BlockSize is 257, expected 1..256", "MaxNumSeqs is 65537, expected 1..65536", "MaxNumBatchedTokens is 0, expected 1..1048576",
            "LongPrefillTokenThreshold is -2", "GpuMemoryUtilization is 1.5, expected above 0 and at most 1",
            "but the device is the CPU", "KvCacheMemoryBytes is 0", "NumBlocksOverride is 1, expected 2", "SwapSpace is -4 GiB, expected 0..65536", "KvOffloadSpace is 65537 GiB, expected 0..65536",
            "ResidualDtype is 3, expected Auto, Float32 or Model", "KvCacheDtype is 9, expected Auto, Float32, Float16, BFloat16 or Fp8", "LoadFormat is 5", "LogprobsMode is 2, expected Raw or Processed", "RequestTimeout is 00:00:00", "QueueTimeout is -00:00:01",
            "MaxNumSeqs is 65537, expected at most MaxNumBatchedTokens, which is 0",
        ];
        Assert.All(expected, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-0.001)]
    [InlineData(65536.5)]
    public void Host_memory_out_of_range_is_refused(double space)
    {
        EngineOptions options = new() { Model = "somewhere" };
        foreach ((EngineOptions bad, string name) in new[] { (options with { SwapSpace = space }, "SwapSpace"), (options with { KvOffloadSpace = space }, "KvOffloadSpace") })
        {
            var error = Assert.Throws<VllmException>(bad.Validate);
            Assert.Equal(FormattableString.Invariant($"engine options: {name} is {space} GiB, expected 0..65536"), error.Message);
        }
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
    public void Host_memory_is_split_into_whole_blocks_and_reported()
    {
        // 3 blocks of 49152 bytes and almost a fourth; 5 exactly.
        const double gib = 1L << 30;
        EngineOptions options = TestEngines.Tiny with { SwapSpace = ((4 * 49152) - 1) / gib, KvOffloadSpace = 5 * 49152 / gib };
        Assert.Equal(new HostBlocks(3, 5), HostKvSizing.Count(options, 49152));
        using var engine = AsyncLlmEngine.Create(options);
        Assert.Equal(8 * 49152, engine.Capabilities.Memory.HostKv);
        Assert.Matches(@"host KV +0\.000 GiB", engine.Capabilities.Memory.ToString());
    }

    [Theory]
    [InlineData(0.00001, 0, "SwapSpace is 1E-05 GiB, but one KV block is 49152 bytes")]
    [InlineData(0, 65536, "KvOffloadSpace is 65536 GiB, 70368744161280 bytes of host memory, but this machine has no more than ")]
    [InlineData(60000.5, 5000, "SwapSpace is 60000.5 GiB and KvOffloadSpace is 5000 GiB, ")]
    public void Host_memory_that_holds_no_block_or_is_not_there_is_refused_in_words(double swap, double offload, string expected)
    {
        var error = Assert.Throws<VllmException>(() => AsyncLlmEngine.Create(TestEngines.Tiny with { SwapSpace = swap, KvOffloadSpace = offload }));
        Assert.StartsWith("engine options: " + expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
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
