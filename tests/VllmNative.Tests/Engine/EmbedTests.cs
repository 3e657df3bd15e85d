using System.Runtime.InteropServices;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;
using VllmNative.Requests;
using VllmNative.Tests.Models;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Prompts as vectors.</summary>
public sealed class EmbedTests
{
    private static readonly PoolingParams Last = new() { Normalize = false };
    private static readonly PoolingParams Mean = new() { Pooling = PoolingType.Mean, Normalize = false };

    private static EngineOptions Options => TestEngines.Tiny with { Deterministic = true };

    [Fact]
    public void The_last_hidden_state_is_what_the_references_logits_are_made_of()
    {
        TinyGolden golden = TinyGolden.Load("llama");
        using WeightMap weights = WeightMap.Open(TinyGolden.DirectoryOf("llama"));
        double[] head = [.. MemoryMarshal.Cast<byte, ushort>(weights.Get("lm_head.weight").Bytes).ToArray().Select(bits => (double)BitConverter.Int32BitsToSingle(bits << 16))];
        using var llm = new LLM(Options);
        int[] lengths = [1, 2, 17, 40];
        IReadOnlyList<EmbeddingOutput> outputs = llm.Embed([.. lengths.Select(length => Prompt.FromTokens(golden.InputIds[..length]))], Last);
        for (int i = 0; i < lengths.Length; i++)
        {
            float[] hidden = outputs[i].Embedding.ToArray();
            Assert.Equal(128, hidden.Length);
            float[] logits = [.. Enumerable.Range(0, 1536).Select(id => (float)hidden.Select((value, k) => value * head[(id * 128) + k]).Sum())];
            Assert.InRange(TinyGolden.RelativeError([logits], [golden.Logits[lengths[i] - 1]]), 0, 1e-4);
        }
    }

    [Fact]
    public async Task The_mean_is_that_of_the_last_ones_of_all_prefixes()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(4, 70);
        float[][] lasts = await Task.WhenAll(Enumerable.Range(1, 70).Select(async length => await EmbedAsync(engine, prompt[..length], Last)));
        double[] expected = [.. Enumerable.Range(0, 128).Select(k => lasts.Average(last => (double)last[k]))];
        float[] mean = await EmbedAsync(engine, prompt, Mean);
        AssertClose(expected, mean, 1e-6);
        double length = Math.Sqrt(expected.Sum(value => value * value));
        AssertClose([.. expected.Select(value => value / length)], await EmbedAsync(engine, prompt, Mean with { Normalize = true }), 1e-6);
        double lastLength = Math.Sqrt(lasts[^1].Sum(value => (double)value * value));
        AssertClose([.. lasts[^1].Select(value => value / lastLength)], await EmbedAsync(engine, prompt, new PoolingParams()), 1e-6);
        await engine.AssertAllFreeAsync();
    }

    [Theory]
    [InlineData(1, 64, 513)]
    [InlineData(7, 64, 513)]
    [InlineData(64, 64, 513)]
    [InlineData(0, 6, 12)]
    [InlineData(5, 4, 12)]
    public async Task Chunks_neighbours_and_pressure_do_not_show(int threshold, int maxSeqs, int blocks)
    {
        using var whole = AsyncLlmEngine.Create(Options);
        using var engine = AsyncLlmEngine.Create(Options with { LongPrefillTokenThreshold = threshold, MaxNumSeqs = maxSeqs, NumBlocksOverride = blocks });
        int[][] prompts = [.. Enumerable.Range(0, 8).Select(i => TestEngines.Prompt(i, 1 + (i * 19)))];
        SamplingParams greedy = SamplingParams.Greedy with { MaxTokens = 30, IgnoreEos = true, Logprobs = 1 };
        Task<RequestOutput[]> neighbours = engine.RunAllAsync(prompts.Select(prompt => (prompt, greedy)));
        float[][] vectors = await Task.WhenAll(prompts.Select((prompt, i) => EmbedAsync(engine, prompt, i % 2 == 0 ? Mean : Last)));
        RequestOutput[] generated = await neighbours;
        for (int i = 0; i < prompts.Length; i++)
        {
            Assert.Equal(await EmbedAsync(whole, prompts[i], i % 2 == 0 ? Mean : Last), vectors[i]);
            Assert.Equal((await whole.RunAsync(prompts[i], greedy)).Describe(), generated[i].Describe());
        }

        Assert.Equal(blocks < 100, engine.Core.Preemptions > 0);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task The_last_state_may_come_from_a_cached_prefix_and_the_mean_may_not()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(6, 100);
        EmbeddingOutput mean = await engine.EmbedAsync(prompt, Mean).WaitAsync(TestEngines.Limit);
        EmbeddingOutput last = await engine.EmbedAsync(prompt, Last, "mine").WaitAsync(TestEngines.Limit);
        EmbeddingOutput again = await engine.EmbedAsync(prompt, Mean).WaitAsync(TestEngines.Limit);
        Assert.Equal((0, 96, 0), (mean.CachedTokens, last.CachedTokens, again.CachedTokens));
        Assert.Equal(mean.Embedding.ToArray(), again.Embedding.ToArray());
        Assert.Equal("mine", last.RequestId);
        Assert.Equal(prompt, last.PromptTokenIds);
        using var cold = AsyncLlmEngine.Create(Options);
        Assert.Equal(await EmbedAsync(cold, prompt, Last), last.Embedding.ToArray());
    }

    [Theory]
    [InlineData(ModelDtype.BFloat16, 0.03)]
    [InlineData(ModelDtype.Float16, 0.005)]
    public async Task Short_types_give_nearly_the_same(ModelDtype dtype, double tolerance)
    {
        using var exact = AsyncLlmEngine.Create(Options);
        using var rounded = AsyncLlmEngine.Create(Options with { Dtype = dtype });
        int[] prompt = TestEngines.Prompt(7, 33);
        foreach (PoolingParams how in new[] { Last, Mean })
        {
            float[] expected = await EmbedAsync(exact, prompt, how);
            Assert.InRange(TinyGolden.RelativeError([await EmbedAsync(rounded, prompt, how)], [expected]), 1e-7, tolerance);
        }
    }

    [Fact]
    public async Task States_that_are_not_numbers_are_an_error_of_their_own_request()
    {
        using var engine = AsyncLlmEngine.Create(Options);
        int[] prompt = TestEngines.Prompt(1, 30);
        float[] good = await EmbedAsync(engine, prompt, Mean);
        engine.Device.Inject("gemm", 1, "nan_row", 20);
        var error = await Assert.ThrowsAsync<VllmException>(() => engine.EmbedAsync(prompt, Mean).WaitAsync(TestEngines.Limit));
        Assert.Equal("embedding failed: the model's hidden states are not numbers (NaN)", error.Message);
        Assert.Equal(good, await EmbedAsync(engine, prompt, Mean));
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task It_can_be_cancelled_and_ends_with_the_engine()
    {
        var engine = AsyncLlmEngine.Create(Options);
        using var cancellation = new CancellationTokenSource();
        engine.Hold(200);
        Task<EmbeddingOutput> cancelled = engine.EmbedAsync(TestEngines.Prompt(1, 300), Mean, cancellationToken: cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await engine.AssertAllFreeAsync();
        engine.Hold(200);
        Task<EmbeddingOutput>[] open = [.. Enumerable.Range(0, 40).Select(i => engine.EmbedAsync(TestEngines.Prompt(i, 400), Mean))];
        engine.Dispose();
        var error = await Assert.ThrowsAsync<VllmException>(() => Task.WhenAll(open).WaitAsync(TestEngines.Limit));
        Assert.Equal("embedding failed: the engine was disposed", error.Message);
        Assert.Throws<EngineDeadException>(() => { _ = engine.EmbedAsync(new[] { 1 }); });
    }

    [Fact]
    public void Texts_are_embedded_and_what_breaks_a_rule_is_named()
    {
        using var llm = new LLM(TestEngines.Demo);
        IReadOnlyList<EmbeddingOutput> outputs = llm.Embed(["The harbour was quiet.", "The harbour was calm.", "7 + 5 ="]);
        Assert.All(outputs, output => Assert.Equal(1, Cosine(output, output), 1e-6));
        Assert.All(outputs, output => Assert.Equal(llm.Tokenizer!.Encode(llm.Tokenizer.Decode([.. output.PromptTokenIds])), output.PromptTokenIds));
        Assert.True(Cosine(outputs[0], outputs[1]) > Cosine(outputs[0], outputs[2]), "the likest sentence is not the nearest");
        EmbeddingOutput cut = llm.Embed("The harbour was quiet.", new PoolingParams { TruncatePromptTokens = 3 });
        Assert.Equal(outputs[0].PromptTokenIds.TakeLast(3), cut.PromptTokenIds);

        Refused(() => llm.Embed("x", new PoolingParams { Pooling = (PoolingType)7 }), "pooling", "pooling is 7, expected Last or Mean");
        Refused(() => llm.Embed("x", new PoolingParams { TruncatePromptTokens = 0 }), "truncate_prompt_tokens", "truncate_prompt_tokens is 0, expected -1 (the context) or at least 1");
        Refused(() => llm.Embed(Array.Empty<int>()), "prompt", "prompt is empty, expected at least 1 token");
        int context = llm.Engine.Capabilities.MaxModelLen;
        Refused(() => llm.Embed(new int[context]), "prompt", $"prompt has {context} tokens, the context holds at most {context - 1}");
    }

    private static void Refused(Action embed, string parameter, string message)
    {
        var error = Assert.Throws<InvalidRequestException>(embed);
        Assert.Equal((parameter, message), (error.Parameter, error.Message));
    }

    private static double Cosine(EmbeddingOutput a, EmbeddingOutput b) => a.Embedding.ToArray().Zip(b.Embedding.ToArray(), (x, y) => (double)x * y).Sum();

    private static async Task<float[]> EmbedAsync(AsyncLlmEngine engine, int[] prompt, PoolingParams parameters) =>
        (await engine.EmbedAsync(prompt, parameters).WaitAsync(TestEngines.Limit)).Embedding.ToArray();

    private static void AssertClose(double[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], tolerance * Math.Max(1, Math.Abs(expected[i])));
        }
    }
}
