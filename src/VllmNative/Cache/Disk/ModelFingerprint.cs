namespace VllmNative.Cache.Disk;

/// <summary>
/// Everything that the bytes of a KV block depend on besides its tokens. Blocks are found again only under the same fingerprint,
/// so whatever changes K or V, or where they lie in a block, has to be a part of it.
/// </summary>
internal sealed record ModelFingerprint
{
    // To be raised whenever an element of a block comes to lie elsewhere.
    private const int CurrentKvLayout = 1;

    // To be raised whenever a kernel that K or V passes through gives other bits.
    private const int CurrentKernels = 1;

    /// <summary>Digest of config and weights (see <c>Loading.CheckpointDigest</c>).</summary>
    internal required byte[] Checkpoint { get; init; }

    /// <summary>Element type of weights and activations.</summary>
    internal required string ModelDtype { get; init; }

    /// <summary>Element type of the residual stream.</summary>
    internal required string ResidualDtype { get; init; }

    /// <summary>Element type of the KV cache.</summary>
    internal required string KvCacheDtype { get; init; }

    /// <summary>Tokens in a block.</summary>
    internal required int BlockSize { get; init; }

    /// <summary>Bytes of a block, all layers.</summary>
    internal required long BlockBytes { get; init; }

    /// <summary>What computes: backend and architecture or instruction set, such as "cuda sm_90" or "cpu avx512".</summary>
    internal required string Backend { get; init; }

    /// <summary>Whether the engine promises the same bits in any batch: it must not read blocks from one that does not.</summary>
    internal required bool Deterministic { get; init; }

    /// <summary>Which part of the heads the blocks hold, where several devices share a model.</summary>
    internal int Rank { get; init; }

    /// <summary>How many devices share the model.</summary>
    internal int WorldSize { get; init; } = 1;

    internal int KvLayoutVersion { get; init; } = CurrentKvLayout;

    internal int KernelVersion { get; init; } = CurrentKernels;

    internal BlockHash Compute()
    {
        using TaggedHash hash = new();
        hash.Add(1, Checkpoint);
        hash.Add(2, ModelDtype);
        hash.Add(3, KvCacheDtype);
        hash.Add(4, BlockSize);
        hash.Add(5, BlockBytes);
        hash.Add(6, Backend);
        hash.Add(7, Deterministic ? 1 : 0);
        hash.Add(8, Rank);
        hash.Add(9, WorldSize);
        hash.Add(10, KvLayoutVersion);
        hash.Add(11, KernelVersion);
        hash.Add(12, ResidualDtype);
        return hash.Finish();
    }
}
