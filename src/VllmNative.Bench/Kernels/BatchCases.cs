using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>What derives a step's inputs from the batch's state on the device, and what ends the step there.</summary>
internal static class BatchCases
{
    private const int MaxSeqs = 1024;
    private const int MaxBlocks = 2048;
    private const int Vocabulary = 128256;
    private const int TakeLastToken = -1;

    private static readonly (int Rows, int Tokens)[] Sizes = [(1, 1), (256, 256), (4, 4096)];

    internal static IEnumerable<BenchEntry> Measure(KernelContext context) => Sizes.SelectMany(size => Measure(context, size.Rows, size.Tokens));

    private static IEnumerable<BenchEntry> Measure(KernelContext context, int rows, int tokens)
    {
        using var memory = new CaseMemory(context.Device);
        int each = tokens / rows;
        KvPool kv = memory.Own(new KvPool(context.Device, new KvGroup(1, 16, 1, 8, 8, DataType.BFloat16), 4096));
        SamplingTable settings = memory.Own(new SamplingTable(context.Device, MaxSeqs, 1));
        Tensor rowUpdates = memory.Ints(1, 4, (_, _) => 0);
        // Each row takes a new block in this step.
        Tensor tableUpdates = memory.Ints(rows, 4, (row, column) => column == 1 ? row : 0);
        Tensor stepRows = memory.Ints(rows, 4, (row, column) => column switch { 0 => row, 1 => each, 2 => each == 1 ? TakeLastToken : row * each, _ => 0 });
        Tensor stepIds = memory.Ints(tokens, i => i);
        Tensor lastToken = memory.Ints(MaxSeqs, _ => 0);
        Tensor computedLength = memory.Ints(MaxSeqs, _ => 0);
        Tensor blockTables = Tensor.Cube(memory.Allocate((long)MaxSeqs * MaxBlocks * sizeof(int)), DataType.Int32, 1, MaxSeqs, MaxBlocks);
        Tensor tokenIds = memory.Ints(tokens, _ => 0);
        Tensor positions = memory.Ints(tokens, _ => 0);
        Tensor queryStart = memory.Ints(rows + 1, _ => 0);
        Tensor lengths = memory.Ints(rows, _ => 0);
        Tensor slotMapping = Tensor.Matrix(memory.Allocate((long)sizeof(long) * tokens), DataType.Int64, 1, tokens);
        Tensor rowFlags = memory.Ints(rows, _ => 0);
        Tensor sampleRows = memory.Ints(rows, 4, (row, column) => column is 0 or 1 ? row : 0);
        Tensor sampledIds = memory.Ints(rows, row => row);
        Tensor sampleFlags = memory.Ints(rows, _ => 0);

        BatchInputs Inputs() => new()
        {
            VocabSize = Vocabulary,
            Kv = kv,
            RowUpdates = rowUpdates,
            TableUpdates = tableUpdates,
            StepRows = stepRows,
            StepIds = stepIds,
            LastToken = lastToken,
            ComputedLength = computedLength,
            BlockTables = blockTables,
            TokenIds = tokenIds,
            Positions = positions,
            QueryStart = queryStart,
            SequenceLengths = lengths,
            SlotMapping = slotMapping,
            RowFlags = rowFlags,
        };

        yield return context.Time(
            $"batch prepare, {rows} rows, {tokens} tokens", context.Timer.Measure(_ => context.Device.PrepareBatch(Inputs())), (48.0 * rows) + (24.0 * tokens));
        yield return context.Time(
            $"batch commit, {rows} rows, {tokens} tokens",
            context.Timer.Measure(_ => context.Device.CommitBatch(Inputs(), sampleRows, sampledIds, sampleFlags, default, settings)),
            48.0 * rows);
    }
}
