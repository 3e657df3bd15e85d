using VllmNative.Layers;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>A step's part of the runner's buffers, as operations take it.</summary>
internal sealed class StepViews(Device device, int vocabulary, BatchBuffers buffers, StepReadback readback, DeviceBuffer workspace)
{
    /// <summary>What derives the batch from its state and the plan.</summary>
    internal BatchInputs InputsOf(KvPool kv, in StepInputs step, int rows, int tokens) => new()
    {
        VocabSize = vocabulary,
        Kv = kv,
        RowUpdates = step.RowUpdates,
        TableUpdates = step.TableUpdates,
        StepRows = step.StepRows,
        StepIds = step.StepIds,
        LastToken = buffers.LastToken,
        ComputedLength = buffers.ComputedLength,
        BlockTables = buffers.BlockTables,
        TokenIds = buffers.TokenIds.Take(tokens),
        Positions = buffers.Positions.Take(tokens),
        QueryStart = buffers.QueryStart.Take(rows + 1),
        SequenceLengths = buffers.SequenceLengths.Take(rows),
        SlotMapping = Tensor.Matrix(buffers.SlotMapping.Data, DataType.Int64, 1, tokens),
        RowFlags = Tensor.Vector(readback.OnDevice.RowFlags, DataType.Int32, rows),
    };

    /// <summary>What the model computes on: rows and tokens of the batch, and bounds of their lengths.</summary>
    internal ForwardContext ContextOf(KvPool kv, Tensor stepRows, int rows, int tokens, int maxQuery, int maxSequence, int maxPrefillSequence) => new()
    {
        Device = device,
        Kv = kv,
        Workspace = new Workspace(workspace.Data, workspace.Bytes),
        NumTokens = tokens,
        MaxQueryLength = maxQuery,
        MaxSequenceLength = maxSequence,
        MaxPrefillSequenceLength = maxPrefillSequence,
        TokenIds = buffers.TokenIds.Take(tokens),
        Positions = buffers.Positions.Take(tokens),
        QueryStart = buffers.QueryStart.Take(rows + 1),
        SequenceLengths = buffers.SequenceLengths.Take(rows),
        StepRows = stepRows,
        SlotMapping = Tensor.Vector(buffers.SlotMapping.Data, DataType.Int64, tokens),
        BlockTable = buffers.BlockTables.At(0),
    };
}
