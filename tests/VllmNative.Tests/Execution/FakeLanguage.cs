using VllmNative.Requests;

namespace VllmNative.Tests.Execution;

/// <summary>A language without a model: the next token depends on every token before it, so that a wrong one shows at once.</summary>
internal static class FakeLanguage
{
    internal const int Vocabulary = 64;

    /// <summary>What follows these tokens, unless it is banned; then the next id that is not.</summary>
    internal static int Next(ReadOnlySpan<int> tokens, Func<int, bool>? banned = null)
    {
        ulong hash = 14695981039346656037;
        foreach (int token in tokens)
        {
            hash = (hash ^ (uint)token) * 1099511628211;
        }

        int id = (int)((hash ^ (hash >> 29)) % Vocabulary);
        while (banned is not null && banned(id))
        {
            id = (id + 1) % Vocabulary;
        }

        return id;
    }

    /// <summary>What a request generates when nothing disturbs it.</summary>
    internal static (int[] Ids, FinishReason Reason) Complete(ReadOnlySpan<int> prompt, int maxTokens, int minTokens, int[] stopIds)
    {
        List<int> tokens = [.. prompt];
        for (int generated = 0; generated < maxTokens; generated++)
        {
            bool early = generated < minTokens;
            int id = Next(tokens.ToArray(), candidate => early && stopIds.Contains(candidate));
            tokens.Add(id);
            if (stopIds.Contains(id))
            {
                return (tokens[prompt.Length..].ToArray(), FinishReason.Stop);
            }
        }

        return (tokens[prompt.Length..].ToArray(), FinishReason.Length);
    }

    /// <summary>A prompt that is like no other.</summary>
    internal static int[] Prompt(int seed, int length)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(Vocabulary))];
    }

    internal static float Logprob(int id) => -(id + 1) / 16f;
}
