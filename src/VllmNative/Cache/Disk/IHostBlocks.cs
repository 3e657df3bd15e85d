namespace VllmNative.Cache.Disk;

/// <summary>The host pool's memory, block by block; called on the offload thread.</summary>
internal interface IHostBlocks
{
    /// <summary>Bytes of a block.</summary>
    Span<byte> Block(int index);
}
