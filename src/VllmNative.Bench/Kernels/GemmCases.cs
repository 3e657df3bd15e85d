using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>The matrix products of a decode step: each matrix by itself over all layers, and a whole step's one after another.</summary>
internal static class GemmCases
{
    internal static IEnumerable<BenchEntry> Measure(KernelContext context) => context.Plan.Models.SelectMany(shape => Measure(context, shape));

    private static IEnumerable<BenchEntry> Measure(KernelContext context, DecoderShape shape)
    {
        using var memory = new CaseMemory(context.Device);
        int most = context.Plan.GemmRows.Max();
        List<Product[]> layers = [];
        nint x = memory.AllocateRandom(2L * most * shape.Matrices.Max(matrix => matrix.Columns));
        nint y = memory.Allocate(4L * most * Math.Max(shape.Vocabulary, shape.Matrices.Max(matrix => matrix.Rows)));
        ulong seed = 1;
        Product Create(int rows, int columns, DataType type)
        {
            Weight weight = memory.Own(context.Device.CreateWeight(lookup: false, DataType.BFloat16, rows, columns));
            weight.Fill(seed++, 0.02f);
            return new Product(weight, x, y, type);
        }

        for (int layer = 0; layer < shape.Layers; layer++)
        {
            layers.Add([.. shape.Matrices.Select(matrix => Create(matrix.Rows, matrix.Columns, DataType.BFloat16))]);
        }

        Product head = Create(shape.Vocabulary, shape.Hidden, DataType.Float32);
        long workspaceBytes = layers[0].Append(head).Max(product => ModelOps.GemmWorkspace(product.Weight, DataType.BFloat16, most));
        var workspace = new Workspace(memory.Allocate(workspaceBytes), workspaceBytes);

        foreach (int rows in context.Plan.GemmRows)
        {
            for (int m = 0; m < shape.Matrices.Count; m++)
            {
                (string name, int outputs, int inputs) = shape.Matrices[m];
                int matrix = m;
                Distribution one = context.Timer.Measure(i => layers[i % shape.Layers][matrix].Run(context.Device, rows, workspace));
                yield return context.Time($"GEMM {shape.Name} {name} {outputs} x {inputs}, batch {rows}", one, layers[0][m].Bytes(rows));
            }

            Distribution logits = context.Timer.Measure(_ => head.Run(context.Device, rows, workspace));
            yield return context.Time($"GEMM {shape.Name} head {shape.Vocabulary} x {shape.Hidden}, batch {rows}", logits, head.Bytes(rows));

            Product[] step = [.. layers.SelectMany(layer => layer), head];
            Distribution all = context.Timer.MeasureRound(1, _ =>
            {
                foreach (Product product in step)
                {
                    product.Run(context.Device, rows, workspace);
                }
            });
            yield return BenchEntry.Of($"GEMMs of a decode step, {shape.Title}, batch {rows}", all.Select(us => us / 1e3), "ms", Better.Lower)
                .Below(step.Sum(product => product.Bytes(rows)) / context.Ceilings.BytesPerSecond * 1e3)
                .AsHeadline();
        }
    }

    // y = x W^T with as many rows of x as the batch has.
    private sealed record Product(Weight Weight, nint X, nint Y, DataType OutputType)
    {
        internal double Bytes(int rows) => (2.0 * Weight.Rows * Weight.Columns) + (2.0 * rows * Weight.Columns) + ((double)OutputType.Size() * rows * Weight.Rows);

        internal void Run(Device device, int rows, Workspace workspace) => device.Gemm(
            Weight,
            Tensor.Matrix(X, DataType.BFloat16, rows, Weight.Columns),
            default,
            Tensor.Matrix(Y, OutputType, rows, Weight.Rows),
            workspace);
    }
}
