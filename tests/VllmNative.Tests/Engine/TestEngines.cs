using System.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Small engines on the test device, and ways to run requests on them.</summary>
internal static class TestEngines
{
    /// <summary>No test here takes longer, unless something hangs.</summary>
    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>Random weights, 1536 tokens, a context of 512, no tokenizer.</summary>
    internal static EngineOptions Tiny => new()
    {
        Model = TestAssets.Path("models", "tiny", "llama"),
        Device = TestDevice.Kind,
        // Planned faults count native calls, which replayed graphs do not make.
        EnforceEager = true,
        Dtype = ModelDtype.Float32,
        NumBlocksOverride = 513,
        MaxNumSeqs = 64,
        Threads = 1,
    };

    /// <summary>The demo model, which speaks.</summary>
    internal static EngineOptions Demo => new()
    {
        Model = TestAssets.Path("models", "demo"),
        Device = TestDevice.Kind,
        EnforceEager = true,
        Dtype = ModelDtype.Float32,
        NumBlocksOverride = 257,
        MaxNumSeqs = 16,
        Threads = 1,
    };

    internal static int[] Prompt(int seed, int length)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(3, 1536))];
    }

    /// <summary>The last output of a stream.</summary>
    internal static async Task<RequestOutput> LastAsync(this IAsyncEnumerable<RequestOutput> outputs)
    {
        RequestOutput? last = null;
        await foreach (RequestOutput output in outputs)
        {
            last = output;
        }

        return last ?? throw new InvalidOperationException("no output");
    }

    internal static Task<RequestOutput> RunAsync(this AsyncLlmEngine engine, int[] prompt, SamplingParams parameters) =>
        engine.GenerateAsync(prompt, parameters).LastAsync().WaitAsync(Limit);

    /// <summary>Submits all before it waits for any.</summary>
    internal static Task<RequestOutput[]> RunAllAsync(this AsyncLlmEngine engine, IEnumerable<(int[] Prompt, SamplingParams Parameters)> requests) =>
        Task.WhenAll(requests.Select(request => engine.GenerateAsync(request.Prompt, request.Parameters).LastAsync()).ToArray()).WaitAsync(Limit);

    /// <summary>Holds the engine in its next step, so that what is submitted meanwhile starts together.</summary>
    internal static void Hold(this AsyncLlmEngine engine, int milliseconds) => engine.Device.Inject("embedding", 1, "delay_ms", milliseconds);

    /// <summary>Fails unless all blocks are free within a second.</summary>
    internal static async Task AssertAllFreeAsync(this AsyncLlmEngine engine)
    {
        var watch = Stopwatch.StartNew();
        while (engine.Memory.AllocatedBlocks != 0)
        {
            Assert.True(watch.ElapsedMilliseconds < 1000, $"{engine.Memory.AllocatedBlocks} blocks are still allocated after a second");
            await Task.Delay(2);
        }

        MemoryStats memory = engine.Memory;
        Assert.Equal((memory.TotalBlocks, 0.0, 0L), (memory.FreeBlocks, memory.Utilization, memory.AllocatedBytes));
    }

    /// <summary>Everything that must not depend on how a request was computed, to the bit.</summary>
    internal static string Describe(this RequestOutput output)
    {
        CompletionOutput completion = output.Outputs[0];
        IEnumerable<string> logprobs = (completion.Logprobs ?? []).Select(position =>
            string.Join(' ', position.Top.Prepend(position.Sampled).Select(token => $"{token.TokenId}:{BitConverter.SingleToInt32Bits(token.Logprob):x8}#{token.Rank}")));
        return $"{output.Error}{completion.FinishReason} {completion.StopReason} [{string.Join(' ', completion.TokenIds)}] {string.Join('|', logprobs)}";
    }
}
