using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Tests.Engine;

/// <summary>256 requests that ask for log-probabilities, and batches of them in an order that a seed gives.</summary>
internal static class BatchWorkload
{
    internal const int Count = 256;

    /// <summary>Largest first: a later batch finds in the prefix cache what an earlier one computed.</summary>
    internal static IReadOnlyList<int> Sizes { get; } = [256, 128, 64, 33, 16, 7, 3, 2, 1];

    /// <summary>Raw log-probabilities, of the chosen token and of five more.</summary>
    internal static SamplingParams ParametersOf(int i) => new()
    {
        Temperature = i % 3 == 0 ? 0 : 1,
        Seed = i,
        MaxTokens = 4 + (i % 4),
        IgnoreEos = true,
        Logprobs = 5,
    };

    /// <summary>Mostly short; each sixteenth is longer than a chunk of 64 and begins like another one.</summary>
    internal static int[] PromptOf(int i) => i % 16 == 0
        ? [.. TestEngines.Prompt(1000 + (i % 64), 48), .. TestEngines.Prompt(i, 18 + (i % 11))]
        : TestEngines.Prompt(i, 1 + (i * 7 % 31));

    /// <summary>Which requests a batch of so many holds, in shuffled order.</summary>
    internal static int[] BatchOf(int size)
    {
        int[] all = [.. Enumerable.Range(0, Count)];
        new Random(size).Shuffle(all);
        return all[..size];
    }

    /// <summary>What each request gives when nothing runs beside it and nothing is cached.</summary>
    internal static string[] ComputeAlone(EngineOptions options)
    {
        using var engine = AsyncLlmEngine.Create(options with { EnablePrefixCaching = false });
        return [.. Enumerable.Range(0, Count).Select(i => engine.RunAsync(PromptOf(i), ParametersOf(i)).GetAwaiter().GetResult().Describe())];
    }

    /// <summary>Runs some of the requests together.</summary>
    /// <returns>How many differ in any bit from what they are alone, and the first of them in words.</returns>
    internal static async Task<(int Count, string First)> CountDifferencesAsync(AsyncLlmEngine engine, string[] alone, int[] batch)
    {
        // So long that all of them are there before the first ones end.
        engine.Hold(30);
        RequestOutput[] outputs = await engine.RunAllAsync(batch.Select(i => (PromptOf(i), ParametersOf(i))));
        int count = 0;
        string first = "";
        for (int at = 0; at < batch.Length; at++)
        {
            string actual = outputs[at].Describe();
            if (actual != alone[batch[at]] && count++ == 0)
            {
                first = $"request {batch[at]} in a batch of {batch.Length}:\n{alone[batch[at]]}\nbecame\n{actual}";
            }
        }

        return (count, first);
    }
}
