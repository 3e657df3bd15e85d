namespace VllmNative.Engine;

/// <summary>How full the KV cache is.</summary>
/// <param name="TotalBlocks">Blocks that requests can own; the null block is not counted.</param>
/// <param name="AllocatedBlocks">Blocks that requests own now.</param>
/// <param name="PeakBlocks">Most blocks owned at the same time so far.</param>
/// <param name="BlockSize">Tokens in a block.</param>
/// <param name="BlockBytes">Bytes of a block, all layers.</param>
public readonly record struct MemoryStats(int TotalBlocks, int AllocatedBlocks, int PeakBlocks, int BlockSize, long BlockBytes)
{
    /// <summary>Blocks that nobody owns, but that hold a prefix which a request may still find; they count as free.</summary>
    public int CachedBlocks { get; init; }

    /// <summary>How often a cached block was given to somebody else so far.</summary>
    public long EvictedBlocks { get; init; }

    /// <summary>Tokens of requests that were looked up in the prefix cache so far.</summary>
    public long PrefixCacheQueries { get; init; }

    /// <summary>Tokens of them that were found.</summary>
    public long PrefixCacheHits { get; init; }

    /// <summary>How often a request lost its blocks so far.</summary>
    public long Preemptions { get; init; }

    /// <summary>Host blocks for swapped requests, and how many of them are in use.</summary>
    public int SwapBlocks { get; init; }

    /// <inheritdoc cref="SwapBlocks"/>
    public int UsedSwapBlocks { get; init; }

    /// <summary>Blocks that can be handed out.</summary>
    public int FreeBlocks => TotalBlocks - AllocatedBlocks;

    /// <summary>Allocated share of the pool, 0..1.</summary>
    public double Utilization => TotalBlocks == 0 ? 0 : (double)AllocatedBlocks / TotalBlocks;

    /// <summary>Bytes that allocated blocks take.</summary>
    public long AllocatedBytes => AllocatedBlocks * BlockBytes;

    /// <summary>Bytes of the whole pool.</summary>
    public long TotalBytes => TotalBlocks * BlockBytes;
}
