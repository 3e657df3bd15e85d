using System.Collections.Concurrent;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>
/// However requests are computed - alone or together, in chunks, interrupted, in blocks of any size, on any number of
/// threads - each gives the same tokens and, bit for bit, the same log-probabilities: always on the CPU, on a GPU with
/// <see cref="EngineOptions.Deterministic"/>.
/// </summary>
public sealed class EquivalenceTests
{
    private const int Count = 64;

    private static readonly ConcurrentDictionary<(string Model, ModelDtype Dtype), Lazy<string[]>> Alone = new();

    public static TheoryData<string, ModelDtype, string> Ways => new(
        from model in new[] { "tiny", "demo" }
        from dtype in new[] { ModelDtype.Float32, ModelDtype.BFloat16 }
        from way in new[] { "together", "budget 7", "threshold 7", "block 8", "block 32", "block 1", "2 threads", "pressure", "pressure in chunks" }
        where model == "tiny" || way is "together" or "budget 7" or "pressure in chunks"
        select (model, dtype, way));

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task The_way_of_computing_does_not_show(string model, ModelDtype dtype, string way)
    {
        EngineOptions options = OptionsOf(model, dtype);
        options = way switch
        {
            "together" => options,
            "budget 7" => options with { MaxNumBatchedTokens = 7, MaxNumSeqs = 7 },
            "threshold 7" => options with { LongPrefillTokenThreshold = 7 },
            "block 8" => options with { BlockSize = 8, NumBlocksOverride = 1025 },
            "block 32" => options with { BlockSize = 32 },
            "block 1" => options with { BlockSize = 1, NumBlocksOverride = 3001 },
            "2 threads" => options with { Threads = 2 },
            "pressure" => options with { BlockSize = 8, NumBlocksOverride = 15 },
            _ => options with { BlockSize = 8, NumBlocksOverride = 15, MaxNumBatchedTokens = 24, MaxNumSeqs = 12, LongPrefillTokenThreshold = 5 },
        };
        string[] expected = Alone.GetOrAdd((model, dtype), _ => new Lazy<string[]>(() => ComputeAlone(OptionsOf(model, dtype)))).Value;
        using var engine = AsyncLlmEngine.Create(options);
        Assert.True(engine.Capabilities.BatchInvariant);
        RequestOutput[] outputs = await engine.RunAllAsync(Requests());
        for (int i = 0; i < Count; i++)
        {
            Assert.True(expected[i] == outputs[i].Describe(), $"request {i}:\n{expected[i]}\nbecame\n{outputs[i].Describe()}");
        }

        bool pressed = way.StartsWith("pressure", StringComparison.Ordinal);
        Assert.True(pressed ? engine.Core.Preemptions >= 10 : engine.Core.Preemptions == 0, $"{engine.Core.Preemptions} preemptions");
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_seed_repeats_its_draws_and_another_seed_draws_others()
    {
        var seeded = new SamplingParams { Temperature = 1.5f, Seed = 42, MaxTokens = 24, IgnoreEos = true };
        int[] prompt = TestEngines.Prompt(5, 9);
        EngineOptions options = OptionsOf("tiny", ModelDtype.Float32); // on a GPU two engines else may choose different kernels
        using var first = AsyncLlmEngine.Create(options);
        using var second = AsyncLlmEngine.Create(options with { Seed = 99 });
        string expected = (await first.RunAsync(prompt, seeded)).Describe();
        Assert.Equal(expected, (await second.RunAsync(prompt, seeded)).Describe());
        Assert.NotEqual(expected, (await first.RunAsync(prompt, seeded with { Seed = 43 })).Describe());

        // Without a seed of their own, requests differ; engines with the same seed and order repeat.
        SamplingParams free = seeded with { Seed = null };
        using var third = AsyncLlmEngine.Create(options with { Seed = 99 });
        await third.RunAsync(prompt, seeded);
        string drawn = (await second.RunAsync(prompt, free)).Describe();
        Assert.Equal(drawn, (await third.RunAsync(prompt, free)).Describe());
        Assert.NotEqual(drawn, (await second.RunAsync(prompt, free)).Describe());
    }

    private static EngineOptions OptionsOf(string model, ModelDtype dtype)
    {
        EngineOptions options = model == "demo" ? TestEngines.Demo with { NumBlocksOverride = 513, MaxNumSeqs = 64 } : TestEngines.Tiny;
        return options with { Device = TestDevice.Kind, Deterministic = true, Dtype = dtype };
    }

    private static string[] ComputeAlone(EngineOptions options)
    {
        using var engine = AsyncLlmEngine.Create(options);
        return [.. Requests().Select(request => (engine.RunAsync(request.Prompt, request.Parameters).GetAwaiter().GetResult()).Describe())];
    }

    private static (int[] Prompt, SamplingParams Parameters)[] Requests() => [.. Enumerable.Range(0, Count).Select(i => (TestEngines.Prompt(i, 1 + (i * 37 % 61)), ParametersOf(i)))];

    private static SamplingParams ParametersOf(int i)
    {
        var common = new SamplingParams { MaxTokens = 6 + (i % 19), Logprobs = i % 5 == 4 ? null : i % 4, Seed = i, IgnoreEos = i % 2 == 0 };
        return (i % 6) switch
        {
            0 => common with { Temperature = 0 },
            1 => common with { Temperature = 1 },
            2 => common with { Temperature = 0.8f, TopK = 40, TopP = 0.9f },
            3 => common with { Temperature = 1.2f, MinP = 0.02f, RepetitionPenalty = 1.3f },
            4 => common with { Temperature = 0, FrequencyPenalty = 1.5f, PresencePenalty = 0.5f },
            _ => common with { Temperature = 1, MinTokens = 4, StopTokenIds = [.. Enumerable.Range(3, 200)] },
        };
    }
}
