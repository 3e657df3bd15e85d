namespace VllmNative.Bench.Kernels;

/// <summary>A batch of equal rows of paged attention, heads 128 wide, blocks of 16 tokens.</summary>
internal sealed record AttentionShape(int QueryHeads, int KvHeads, int Sequences, int QueryLength, int Context)
{
    internal const int HeadDim = 128;
    internal const int BlockSize = 16;

    internal static AttentionShape Decode(int queryHeads, int kvHeads, int sequences, int context) => new(queryHeads, kvHeads, sequences, 1, context);

    internal static AttentionShape Prefill(int queryHeads, int kvHeads, int tokens) => new(queryHeads, kvHeads, 1, tokens, tokens);

    internal bool IsDecode => QueryLength == 1;

    /// <summary>Peers measure the same under the same name: see tests/gpu/peers.py.</summary>
    internal string Name => IsDecode
        ? $"decode attention {QueryHeads}/{KvHeads} heads, batch {Sequences}, context {Context}"
        : $"prefill attention {QueryHeads}/{KvHeads} heads, {QueryLength} tokens";

    internal int Tokens => Sequences * QueryLength;

    internal int BlocksPerSequence => (Context + BlockSize - 1) / BlockSize;

    /// <summary>Bytes of K and V that a launch reads, bf16.</summary>
    internal double KvBytes => 2.0 * 2 * Sequences * Context * KvHeads * HeadDim;

    /// <summary>Multiplications and additions of the pairs that causal attention sees.</summary>
    internal double Operations => 4.0 * Sequences * QueryHeads * HeadDim * QueryLength * (Context - ((QueryLength - 1) / 2.0));
}
