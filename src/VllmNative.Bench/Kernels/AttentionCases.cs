using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>Paged attention over shuffled blocks; the layers of one pool take turns, as in a model.</summary>
internal static class AttentionCases
{
    internal static IEnumerable<BenchEntry> Measure(KernelContext context) => context.Plan.Attention.Select(shape => Measure(context, shape));

    private static BenchEntry Measure(KernelContext context, AttentionShape shape)
    {
        using var memory = new CaseMemory(context.Device);
        int blocks = shape.Sequences * shape.BlocksPerSequence;
        // Two layers at least, so that a block's layers lie apart as they do in a model.
        int layers = context.Copies((long)shape.KvBytes, atLeast: 2, atMost: 32);
        var group = new KvGroup(layers, AttentionShape.BlockSize, shape.KvHeads, AttentionShape.HeadDim, AttentionShape.HeadDim, DataType.BFloat16);
        KvPool kv = memory.Own(new KvPool(context.Device, group, blocks));
        using (var random = new RandomSource(context.Device))
        {
            random.Fill(kv.Data, kv.Bytes);
        }

        int[] order = [.. Enumerable.Range(0, blocks)];
        new Random(5).Shuffle(order);
        // Queries lie inside the merged rows of q, k and v, as the model leaves them.
        long width = (long)(shape.QueryHeads + (2 * shape.KvHeads)) * AttentionShape.HeadDim;
        Tensor qkv = Tensor.Matrix(memory.AllocateRandom(2 * shape.Tokens * width), DataType.BFloat16, shape.Tokens, width);
        Tensor query = qkv.Heads(0, shape.QueryHeads, AttentionShape.HeadDim);
        Tensor output = Tensor.Cube(memory.Allocate(2L * shape.Tokens * shape.QueryHeads * AttentionShape.HeadDim), DataType.BFloat16, shape.Tokens, shape.QueryHeads, AttentionShape.HeadDim);
        Tensor starts = memory.Ints(shape.Sequences + 1, i => i * shape.QueryLength);
        Tensor lengths = memory.Ints(shape.Sequences, _ => shape.Context);
        Tensor rows = memory.Ints(shape.Sequences, 4, (row, column) => column == 0 ? row : 0);
        Tensor table = memory.Ints(shape.Sequences, shape.BlocksPerSequence, (row, column) => order[(row * shape.BlocksPerSequence) + column]);
        long workspaceBytes = context.Device.AttentionWorkspace(shape.Tokens, shape.QueryHeads, AttentionShape.HeadDim, shape.Context);
        var workspace = new Workspace(memory.Allocate(workspaceBytes), workspaceBytes);
        Distribution microseconds = context.Timer.Measure(i =>
        {
            var inputs = new AttentionInputs
            {
                Query = query,
                Output = output,
                QueryStart = starts,
                SequenceLengths = lengths,
                StepRows = rows,
                BlockTable = table,
                MaxQueryLength = shape.QueryLength,
                MaxSequenceLength = shape.Context,
                Workspace = workspace,
            };
            context.Device.PagedAttention(inputs, kv.ViewOf(i % layers));
        });
        BenchEntry entry = shape.IsDecode ? context.Bandwidth(shape.Name, microseconds, shape.KvBytes) : context.Arithmetic(shape.Name, microseconds, shape.Operations);
        return entry.AsHeadline();
    }
}
