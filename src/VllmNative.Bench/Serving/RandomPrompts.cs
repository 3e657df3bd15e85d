using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>Prompts of random token ids, the same in every run. The lowest ids are left out: many models have their special tokens there.</summary>
internal static class RandomPrompts
{
    private const int FirstId = 10;

    internal static Prompt Create(int seed, int tokens, int vocabulary)
    {
        var random = new Random(seed);
        int low = Math.Min(FirstId, vocabulary / 4);
        int[] ids = new int[tokens];
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = random.Next(low, vocabulary - low);
        }

        return ids;
    }
}
