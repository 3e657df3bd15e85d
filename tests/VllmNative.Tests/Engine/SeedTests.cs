using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Where the draws of a request come from.</summary>
public sealed class SeedTests
{
    private static readonly SamplingParams Free = new() { Temperature = 1.5f, MaxTokens = 24, IgnoreEos = true };

    [Fact]
    public async Task A_request_without_a_seed_gets_one_of_64_bits_at_admission_that_repeats_it()
    {
        const int count = 200;
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { Deterministic = true });
        int[] prompt = TestEngines.Prompt(5, 9);
        OutputProcessor[] admitted = [.. Enumerable.Range(0, count).Select(i => engine.Prepare(prompt, Free with { Seed = i % 2 == 0 ? null : -1 }))];
        ulong[] seeds = [.. admitted.Select(processor => processor.Requests.Single().Seed)];
        Assert.Equal(count, seeds.Distinct().Count());
        // No bit is the same in all.
        Assert.Equal((ulong.MaxValue, 0UL), (seeds.Aggregate((all, seed) => all | seed), seeds.Aggregate((all, seed) => all & seed)));
        foreach (int i in new[] { 0, 7, count - 1 })
        {
            engine.Submit(admitted[i]);
            RequestOutput drawn = await engine.FinishAsync(admitted[i], TestContext.Current.CancellationToken).WaitAsync(TestEngines.Limit);
            Assert.Equal((await engine.RunAsync(prompt, Free with { Seed = (long)seeds[i] })).Describe(), drawn.Describe());
        }
    }

    [Fact]
    public async Task Every_part_of_a_seed_counts()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { Deterministic = true });
        int[] prompt = TestEngines.Prompt(5, 9);
        long[] seeds = [42, 43, 42 + (1L << 31), 42 + (1L << 32), 42 + (1L << 62), 42 + long.MinValue];
        RequestOutput[] outputs = await engine.RunAllAsync(seeds.Select(seed => (prompt, Free with { Seed = seed })));
        Assert.Equal(seeds.Length, outputs.Select(output => output.Describe()).Distinct().Count());
    }
}
