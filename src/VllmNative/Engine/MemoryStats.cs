namespace VllmNative.Engine;

/// <summary>How full the KV cache is.</summary>
/// <param name="TotalBlocks">Blocks that requests can own; the null block is not counted.</param>
/// <param name="AllocatedBlocks">Blocks that requests own now.</param>
/// <param name="PeakBlocks">Most blocks owned at the same time so far.</param>
/// <param name="BlockSize">Tokens in a block.</param>
/// <param name="BlockBytes">Bytes of a block, all layers.</param>
public readonly record struct MemoryStats(int TotalBlocks, int AllocatedBlocks, int PeakBlocks, int BlockSize, long BlockBytes)
{
    /// <summary>Blocks that can be handed out.</summary>
    public int FreeBlocks => TotalBlocks - AllocatedBlocks;

    /// <summary>Allocated share of the pool, 0..1.</summary>
    public double Utilization => TotalBlocks == 0 ? 0 : (double)AllocatedBlocks / TotalBlocks;

    /// <summary>Bytes that allocated blocks take.</summary>
    public long AllocatedBytes => AllocatedBlocks * BlockBytes;

    /// <summary>Bytes of the whole pool.</summary>
    public long TotalBytes => TotalBlocks * BlockBytes;
}
