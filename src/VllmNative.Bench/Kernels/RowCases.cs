using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>The operations that go over rows of activations once, in the sizes of Llama-3.1-8B; bytes are each input once, each output once.</summary>
internal static class RowCases
{
    private const int Hidden = 4096;
    private const int Intermediate = 14336;
    private const int Vocabulary = 128256;
    private const int Bf16 = 2;

    internal static IEnumerable<BenchEntry> Measure(KernelContext context) =>
        context.Plan.RowTokens.SelectMany(tokens => (BenchEntry[])[Norm(context, tokens, DataType.Float32), Norm(context, tokens, DataType.BFloat16), Activation(context, tokens), Embedding(context, tokens), Gather(context, tokens)]);

    // As the model calls it, f32 residual stream and what is added to it, or bf16 throughout; the normalised rows bf16.
    private static BenchEntry Norm(KernelContext context, int tokens, DataType stream)
    {
        using var memory = new CaseMemory(context.Device);
        long wide = (long)tokens * Hidden * stream.Size();
        long narrow = (long)tokens * Hidden * Bf16;
        int copies = context.Copies((2 * wide) + narrow);
        nint x = memory.AllocateRandom(copies * wide);
        nint residual = memory.AllocateRandom(copies * wide);
        nint output = memory.Allocate(copies * narrow);
        Tensor weight = Tensor.Vector(memory.AllocateRandom(Hidden * sizeof(float)), DataType.Float32, Hidden);
        Tensor At(nint data, int i) => Tensor.Matrix(data + (nint)(i % copies * wide), stream, tokens, Hidden);
        Tensor Output(int i) => Tensor.Matrix(output + (nint)(i % copies * narrow), DataType.BFloat16, tokens, Hidden);
        return context.Time(
            $"add and RMSNorm, {(stream == DataType.Float32 ? "f32" : "bf16")}, {tokens} x {Hidden}",
            context.Timer.Measure(i => context.Device.RmsNorm(At(x, i), weight, At(residual, i), Output(i), 1e-6f, 0)),
            (3.0 * wide) + narrow);
    }

    private static BenchEntry Activation(KernelContext context, int tokens)
    {
        using var memory = new CaseMemory(context.Device);
        long bytes = (long)tokens * Intermediate * Bf16;
        int copies = context.Copies(3 * bytes);
        nint x = memory.AllocateRandom(copies * 2 * bytes);
        nint output = memory.Allocate(copies * bytes);
        return context.Time(
            $"SiLU and multiply, {tokens} x {Intermediate}",
            context.Timer.Measure(i => context.Device.GatedActivation(
                ActivationFunction.Silu,
                Tensor.Matrix(x + (nint)(i % copies * 2 * bytes), DataType.BFloat16, tokens, 2 * Intermediate),
                Tensor.Matrix(output + (nint)(i % copies * bytes), DataType.BFloat16, tokens, Intermediate))),
            3.0 * bytes);
    }

    private static BenchEntry Embedding(KernelContext context, int tokens)
    {
        using var memory = new CaseMemory(context.Device);
        Weight table = memory.Own(context.Device.CreateWeight(lookup: true, DataType.BFloat16, Vocabulary, Hidden));
        table.Fill(1, 1);
        Tensor ids = memory.Ints(tokens, i => (int)(i * 7919L % Vocabulary));
        Tensor output = Tensor.Matrix(memory.Allocate((long)tokens * Hidden * Bf16), DataType.BFloat16, tokens, Hidden);
        return context.Time(
            $"embedding, {tokens} x {Hidden}", context.Timer.Measure(_ => context.Device.Embedding(table, ids, output, 1)), 2.0 * tokens * Hidden * Bf16);
    }

    private static BenchEntry Gather(KernelContext context, int tokens)
    {
        using var memory = new CaseMemory(context.Device);
        long bytes = (long)tokens * Hidden * Bf16;
        int copies = context.Copies(2 * bytes);
        nint x = memory.AllocateRandom(copies * bytes);
        nint output = memory.Allocate(copies * bytes);
        Tensor rows = memory.Ints(tokens, 4, (row, column) => column == 0 ? (int)(row * 61L % tokens) : 0);
        Tensor At(nint data, int i) => Tensor.Matrix(data + (nint)(i % copies * bytes), DataType.BFloat16, tokens, Hidden);
        return context.Time(
            $"gather rows, {tokens} x {Hidden}", context.Timer.Measure(i => context.Device.GatherRows(At(x, i), rows, At(output, i))), 2.0 * bytes);
    }
}
