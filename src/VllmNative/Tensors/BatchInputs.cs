namespace VllmNative.Tensors;

/// <summary>The batch's state, a step's inputs and what the device derives from both; shapes as in vn_batch_prepare.</summary>
internal readonly ref struct BatchInputs
{
    internal required int VocabSize { get; init; }

    internal required KvPool Kv { get; init; }

    internal required Tensor RowUpdates { get; init; }

    internal required Tensor TableUpdates { get; init; }

    internal required Tensor StepRows { get; init; }

    internal required Tensor StepIds { get; init; }

    internal required Tensor LastToken { get; init; }

    internal required Tensor ComputedLength { get; init; }

    internal required Tensor BlockTables { get; init; }

    internal required Tensor TokenIds { get; init; }

    internal required Tensor Positions { get; init; }

    internal required Tensor QueryStart { get; init; }

    internal required Tensor SequenceLengths { get; init; }

    internal required Tensor SlotMapping { get; init; }

    internal required Tensor RowFlags { get; init; }
}
