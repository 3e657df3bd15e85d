namespace VllmNative.Requests;

/// <summary>What a request changes about its logits at every step, prepared once.</summary>
internal sealed record LogitRules
{
    /// <summary>Tokens and what is added to their logits.</summary>
    internal (int Id, float Value)[] Biases { get; init; } = [];

    /// <summary>Bit id % 32 of word id / 32: whether the token may be sampled; empty = all may.</summary>
    internal int[] Allowed { get; init; } = [];

    /// <summary>Token sequences whose last token is banned where the others have just been generated.</summary>
    internal int[][] BadWords { get; init; } = [];

    /// <summary>Code of the caller, in its order.</summary>
    internal ILogitsProcessor[] Processors { get; init; } = [];

    /// <summary>Whether they depend on the last tokens, which must be known before the next step is planned.</summary>
    internal bool NeedTokens => Processors.Length > 0 || BadWords.Any(word => word.Length > 1);

    internal static int[] MaskOf(IReadOnlyList<int> allowed, int vocabulary)
    {
        var bits = new int[(vocabulary + 31) / 32];
        foreach (int id in allowed)
        {
            bits[id / 32] |= 1 << (id % 32);
        }

        return bits;
    }
}
