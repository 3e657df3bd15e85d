using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// The batch in device memory. State stays from step to step, one entry for each request row: last token, computed length,
/// block table. The rest is derived from it on the device, step by step.
/// </summary>
internal sealed class BatchBuffers : IDisposable
{
    private readonly DeviceBuffer _memory;

    internal BatchBuffers(Device device, BatchShape shape)
    {
        long offset = 0;
        long Reserve(long elements, DataType type)
        {
            long start = offset;
            offset += (elements * type.Size() + 255) / 256 * 256;
            return start;
        }

        long lastToken = Reserve(shape.MaxSeqs, DataType.Int32);
        long computed = Reserve(shape.MaxSeqs, DataType.Int32);
        long tables = Reserve((long)shape.MaxSeqs * shape.MaxBlocks, DataType.Int32);
        long ids = Reserve(shape.MaxTokens, DataType.Int32);
        long positions = Reserve(shape.MaxTokens, DataType.Int32);
        long starts = Reserve(shape.MaxSeqs + 1, DataType.Int32);
        long lengths = Reserve(shape.MaxSeqs, DataType.Int32);
        long slots = Reserve(shape.MaxTokens, DataType.Int64);
        _memory = device.Allocate(offset);
        Tensor Int32(long start, long length) => Tensor.Vector(_memory.Data + (nint)start, DataType.Int32, length);

        LastToken = Int32(lastToken, shape.MaxSeqs);
        ComputedLength = Int32(computed, shape.MaxSeqs);
        BlockTables = Tensor.Cube(_memory.Data + (nint)tables, DataType.Int32, 1, shape.MaxSeqs, shape.MaxBlocks);
        TokenIds = Int32(ids, shape.MaxTokens);
        Positions = Int32(positions, shape.MaxTokens);
        QueryStart = Int32(starts, shape.MaxSeqs + 1);
        SequenceLengths = Int32(lengths, shape.MaxSeqs);
        SlotMapping = Tensor.Matrix(_memory.Data + (nint)slots, DataType.Int64, 1, shape.MaxTokens);
    }

    /// <summary>Bytes of device memory.</summary>
    internal long Bytes => _memory.Bytes;

    // State.
    internal Tensor LastToken { get; }

    internal Tensor ComputedLength { get; }

    /// <summary>[groups, request rows, blocks].</summary>
    internal Tensor BlockTables { get; }

    // Derived each step.
    internal Tensor TokenIds { get; }

    internal Tensor Positions { get; }

    internal Tensor QueryStart { get; }

    internal Tensor SequenceLengths { get; }

    /// <summary>[groups, tokens].</summary>
    internal Tensor SlotMapping { get; }

    public void Dispose() => _memory.Dispose();
}
