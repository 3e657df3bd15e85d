using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The operations on the device-resident batch state and on KV blocks.</summary>
internal static unsafe class BatchOps
{
    internal static void PrepareBatch(this Device device, ref BatchPrepareParams p)
    {
        fixed (BatchPrepareParams* pointer = &p)
        {
            Status.Check(NativeMethods.vn_batch_prepare(device.Stream, pointer));
        }
    }

    internal static void CommitBatch(this Device device, ref BatchCommitParams p)
    {
        fixed (BatchCommitParams* pointer = &p)
        {
            Status.Check(NativeMethods.vn_batch_commit(device.Stream, pointer));
        }
    }

    /// <param name="device">Where the pool lies.</param>
    /// <param name="pairs">[n, 2]: source, destination.</param>
    /// <param name="pool">The pool's first byte.</param>
    /// <param name="blockBytes">Bytes of a block, all layers.</param>
    /// <param name="numBlocks">Blocks of the pool.</param>
    internal static void CopyBlocks(this Device device, Tensor pairs, nint pool, long blockBytes, long numBlocks)
    {
        var p = new BlockCopyParams
        {
            Pairs = pairs.ToNative(),
            NumPairs = (int)pairs.Dim0,
            Pool = pool,
            BlockBytes = blockBytes,
            NumBlocks = numBlocks,
        };
        Status.Check(NativeMethods.vn_block_copy(device.Stream, &p));
    }
}
