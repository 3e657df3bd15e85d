using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The operations on the device-resident batch state and on KV blocks.</summary>
internal static unsafe class BatchOps
{
    internal static void PrepareBatch(this Device device, in BatchInputs inputs)
    {
        var p = new BatchPrepareParams
        {
            NumGroups = 1,
            VocabSize = inputs.VocabSize,
            NumBlocks = inputs.Kv.NumBlocks,
            NumRowUpdates = (int)inputs.RowUpdates.Dim0,
            NumTableUpdates = (int)inputs.TableUpdates.Dim0,
            RowUpdates = inputs.RowUpdates.ToNative(),
            TableUpdates = inputs.TableUpdates.ToNative(),
            StepRows = inputs.StepRows.ToNative(),
            StepIds = inputs.StepIds.ToNative(),
            LastToken = inputs.LastToken.ToNative(),
            ComputedLen = inputs.ComputedLength.ToNative(),
            BlockTables = inputs.BlockTables.ToNative(),
            OutTokenIds = inputs.TokenIds.ToNative(),
            OutPositions = inputs.Positions.ToNative(),
            OutQueryStart = inputs.QueryStart.ToNative(),
            OutSeqLens = inputs.SequenceLengths.ToNative(),
            OutSlotMapping = inputs.SlotMapping.ToNative(),
            OutRowFlags = inputs.RowFlags.ToNative(),
        };
        p.BlockSize[0] = inputs.Kv.Group.BlockSize;
        Status.Check(NativeMethods.vn_batch_prepare(device.Stream, &p));
    }

    /// <summary>Ends a step on the device; sampleRows is absent when nothing was sampled, counts when nobody counts.</summary>
    internal static void CommitBatch(
        this Device device, in BatchInputs inputs, Tensor sampleRows, Tensor ids, Tensor flags, Tensor counts, SamplingTable settings)
    {
        var p = new BatchCommitParams
        {
            StepRows = inputs.StepRows.ToNative(),
            LastToken = inputs.LastToken.ToNative(),
            ComputedLen = inputs.ComputedLength.ToNative(),
            SampleRows = sampleRows.ToNative(),
            SampledIds = ids.ToNative(),
            SampleFlags = flags.ToNative(),
            Counts = counts.ToNative(),
            Sampling = settings.Data,
        };
        Status.Check(NativeMethods.vn_batch_commit(device.Stream, &p));
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
