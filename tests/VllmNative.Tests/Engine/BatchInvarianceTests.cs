using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>
/// The contract of <see cref="EngineOptions.Deterministic"/>: a request's raw log-probabilities are the same bits in batches of 1 to
/// 256, in any order, cached or not, in chunks of any size, preempted or not, from eager steps or from graphs. And the proof that
/// the comparison sees a difference of one bit.
/// </summary>
public sealed class BatchInvarianceTests(ITestOutputHelper output) : IDisposable
{
    private static readonly ConcurrentDictionary<string, Lazy<string[]>> Alone = new();

    private readonly TempDirectory _folder = new();

    public static TheoryData<string, string> Ways => new(
        from way in new[]
        {
            "miss", "miss, chunks of 1", "miss, chunks of 7", "miss, chunks of 64", "hit", "hit, chunks of 1", "hit, chunks of 7", "hit, chunks of 64",
            "recompute", "swap", "graphs", "graphs, hit, chunks of 7",
        }
        from model in new[] { "llama", "qwen3", "demo" }
        where model == "llama" || way is "miss" or "hit, chunks of 7" or "recompute" or "graphs"
        where model != "demo" || way is "hit, chunks of 7" or "graphs"
        select (model, way));

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Log_probabilities_are_the_same_bits_in_any_batch(string model, string way)
    {
        bool graphs = way.StartsWith("graphs", StringComparison.Ordinal);
        Assert.SkipUnless(!graphs || TestDevice.Kind == DeviceKind.Cuda, "the CPU device records no graphs");
        string[] alone = Alone.GetOrAdd(model, _ => new Lazy<string[]>(() => BatchWorkload.ComputeAlone(OptionsOf(model)))).Value;
        bool pressed = way is "recompute" or "swap";
        string trace = Path.Combine(_folder.Path, "trace.jsonl");
        EngineOptions options = OptionsOf(model) with
        {
            EnforceEager = !graphs,
            EnablePrefixCaching = way.Contains("hit", StringComparison.Ordinal),
            LongPrefillTokenThreshold = way.Contains("chunks of ", StringComparison.Ordinal) ? int.Parse(way[(way.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture) : 0,
            RecordTo = trace,
        };
        options = way switch
        {
            // Smaller blocks: outputs are short, and what is kept free for them lasts for half a block each.
            "recompute" => options with { NumBlocksOverride = 88, BlockSize = 2, PreemptionMode = PreemptionMode.Recompute },
            "swap" => options with { NumBlocksOverride = 88, BlockSize = 2, PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.02 },
            _ => options,
        };
        using (var engine = AsyncLlmEngine.Create(options))
        {
            Assert.True(engine.Capabilities.BatchInvariant);
            Assert.Equal(graphs, engine.Capabilities.Graphs);
            foreach (int size in BatchWorkload.Sizes)
            {
                (int count, string first) = await BatchWorkload.CountDifferencesAsync(engine, alone, BatchWorkload.BatchOf(size));
                Assert.True(count == 0, $"{count} requests differ, {first}");
                await engine.AssertAllFreeAsync();
            }

            Assert.Equal(options.EnablePrefixCaching, engine.Memory.PrefixCacheHits > 0);
            Assert.Equal(pressed, engine.Memory.Preemptions > 0);
            Assert.Equal(way == "swap", engine.Core.SwapOuts > 0);
        }

        // A small pool never holds the large batches at once.
        IEnumerable<int> reached = TraceReader.Read(trace).Steps.Select(step => step.Load.Rows);
        Assert.Empty(BatchWorkload.Sizes.Where(size => !pressed || size <= 7).Except(reached));
    }

    /// <summary>The CPU's default mode keeps the contract; a GPU's chooses kernels by the batch, and the comparison sees that.</summary>
    [Fact]
    public async Task The_default_mode_keeps_the_contract_on_the_CPU_and_promises_nothing_on_a_GPU()
    {
        EngineOptions options = OptionsOf("demo") with { Deterministic = false, EnablePrefixCaching = false };
        using var engine = AsyncLlmEngine.Create(options);
        // In the same engine: another one may choose other kernels for a batch of one.
        string[] alone = new string[BatchWorkload.Count];
        for (int i = 0; i < alone.Length; i++)
        {
            alone[i] = (await engine.RunAsync(BatchWorkload.PromptOf(i), BatchWorkload.ParametersOf(i))).Describe();
        }

        (int count, string first) = await BatchWorkload.CountDifferencesAsync(engine, alone, BatchWorkload.BatchOf(BatchWorkload.Count));
        output.WriteLine($"{count} of {BatchWorkload.Count} requests differ from what they are alone");
        bool cpu = TestDevice.Kind == DeviceKind.Cpu;
        Assert.Equal(cpu, engine.Capabilities.BatchInvariant);
        // On a GPU it depends on the products that were the fastest at start: mostly some differ.
        Assert.True(!cpu || count == 0, $"{count} of {BatchWorkload.Count} requests differ {first}");
    }

    [Theory]
    [InlineData("weight")]
    [InlineData("cache dtype")]
    public async Task The_comparison_sees_what_changes_the_numbers(string change)
    {
        EngineOptions options = OptionsOf("llama");
        string[] alone = Alone.GetOrAdd("llama", _ => new Lazy<string[]>(() => BatchWorkload.ComputeAlone(OptionsOf("llama")))).Value;
        options = change == "weight" ? options with { Model = CopyWithOneBitChanged(options.Model) } : options with { KvCacheDtype = KvCacheDtype.BFloat16 };
        using var engine = AsyncLlmEngine.Create(options);
        int[] batch = BatchWorkload.BatchOf(64);
        (int count, _) = await BatchWorkload.CountDifferencesAsync(engine, alone, batch);
        Assert.True(count > batch.Length / 2, $"{count} of {batch.Length} requests differ");
    }

    public void Dispose() => _folder.Dispose();

    private static EngineOptions OptionsOf(string model)
    {
        EngineOptions options = TestEngines.Tiny with
        {
            Deterministic = true,
            MaxNumSeqs = BatchWorkload.Count,
            MaxNumBatchedTokens = 8192,
            NumBlocksOverride = 1601,
            Threads = 2,
        };
        return model switch
        {
            "demo" => options with { Model = TestEngines.Demo.Model, Dtype = ModelDtype.BFloat16 },
            "qwen3" => options with { Model = TestAssets.Path("models", "tiny", "qwen3"), Dtype = ModelDtype.BFloat16 },
            _ => options,
        };
    }

    // The least significant bit of one weight of the first layer.
    private string CopyWithOneBitChanged(string model)
    {
        foreach (string file in Directory.EnumerateFiles(model))
        {
            File.Copy(file, Path.Combine(_folder.Path, Path.GetFileName(file)));
        }

        string weights = Path.Combine(_folder.Path, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using JsonDocument tensors = JsonDocument.Parse(bytes.AsMemory(8, header));
        int offset = tensors.RootElement.GetProperty("model.layers.0.mlp.down_proj.weight").GetProperty("data_offsets")[0].GetInt32();
        bytes[8 + header + offset] ^= 1;
        File.WriteAllBytes(weights, bytes);
        return _folder.Path;
    }
}
