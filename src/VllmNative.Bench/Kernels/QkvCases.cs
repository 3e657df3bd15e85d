using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>What stands between the merged q, k, v product and attention: the table of angles; per-head norm, rotation and cache write in one.</summary>
internal static class QkvCases
{
    private const int QueryHeads = 32;
    private const int KvHeads = 8;
    private const int HeadDim = 128;
    private const int Width = (QueryHeads + (2 * KvHeads)) * HeadDim;
    private const int BlockSize = 16;
    private const int Bf16 = 2;

    internal static IEnumerable<BenchEntry> Measure(KernelContext context) => context.Plan.RowTokens.SelectMany(tokens => Measure(context, tokens));

    private static IEnumerable<BenchEntry> Measure(KernelContext context, int tokens)
    {
        using var memory = new CaseMemory(context.Device);
        long bytes = (long)tokens * Width * Bf16;
        int copies = context.Copies(bytes);
        nint data = memory.AllocateRandom(copies * bytes);
        Tensor At(int i) => Tensor.Matrix(data + (nint)(i % copies * bytes), DataType.BFloat16, tokens, Width);
        Tensor Query(int i) => At(i).Heads(0, QueryHeads, HeadDim);
        Tensor Key(int i) => At(i).Heads(QueryHeads * HeadDim, KvHeads, HeadDim);
        Tensor Value(int i) => At(i).Heads((QueryHeads + KvHeads) * HeadDim, KvHeads, HeadDim);

        Tensor positions = memory.Ints(tokens, i => i);
        Tensor frequencies = Tensor.Vector(memory.Upload<float>([.. Enumerable.Range(0, HeadDim / 2).Select(i => MathF.Pow(10000, -2f * i / HeadDim))]), DataType.Float32, HeadDim / 2);
        Tensor cosSin = Tensor.Matrix(memory.Allocate((long)tokens * HeadDim * sizeof(float)), DataType.Float32, tokens, HeadDim);
        yield return context.Time(
            $"rope table, {tokens} x {HeadDim}",
            context.Timer.Measure(_ => context.Device.RopeCosSin(positions, frequencies, cosSin, 1)),
            (double)tokens * HeadDim * sizeof(float));

        int blocks = Math.Max(2 * tokens / BlockSize, 64) + 1;
        var group = new KvGroup(4, BlockSize, KvHeads, HeadDim, HeadDim, DataType.BFloat16);
        KvPool kv = memory.Own(new KvPool(context.Device, group, blocks));
        long[] slots = [.. Enumerable.Range(0, blocks * BlockSize).Select(i => (long)i)];
        if (tokens <= 256)
        {
            // Requests that decode write far apart; a prompt's slots are neighbours.
            new Random(5).Shuffle(slots);
        }

        Tensor mapping = Tensor.Vector(memory.Upload<long>(slots.AsSpan(0, tokens)), DataType.Int64, tokens);
        Tensor weight = Tensor.Vector(memory.AllocateRandom(HeadDim * sizeof(float)), DataType.Float32, HeadDim);
        foreach (bool normed in (bool[])[false, true])
        {
            yield return context.Time(
                $"{(normed ? "q/k norm, rope" : "rope")} and cache write, {tokens} x {QueryHeads}/{KvHeads} heads",
                context.Timer.Measure(i => context.Device.RopeCacheWrite(
                    new RopeCacheWriteInputs
                    {
                        Query = Query(i),
                        Key = Key(i),
                        Value = Value(i),
                        QueryNorm = normed ? weight : default,
                        KeyNorm = normed ? weight : default,
                        Eps = 1e-6f,
                        CosSin = cosSin,
                        Style = RopeStyle.NeoX,
                        SlotMapping = mapping,
                    },
                    kv.ViewOf(i % group.Layers))),
                tokens * ((((2.0 * QueryHeads) + (4 * KvHeads)) * HeadDim * Bf16) + (HeadDim * sizeof(float))));
        }
    }
}
