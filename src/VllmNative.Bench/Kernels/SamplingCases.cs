using VllmNative.Bench.Results;
using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>The operations on logits, rows of normally distributed ones. Floors: one reading of the logits.</summary>
internal static class SamplingCases
{
    private const float Deviation = 2.5f;
    private const int CountSlots = 128;

    private static readonly (string Name, SamplingSettings? Settings, bool Headline)[] Methods =
    [
        ("greedy", null, true),
        ("sample", Settings(), false),
        ("sample, min-p 0.05", Settings() with { MinP = 0.05f }, false),
        ("sample, top-k 50", Settings() with { TopK = 50 }, false),
        ("sample, top-p 0.9", Settings() with { TopP = 0.9f }, false),
        ("sample, top-k 50 and top-p 0.9", Settings() with { TopK = 50, TopP = 0.9f }, true),
        ("sample, top-k 20000", Settings() with { TopK = 20000 }, false),
    ];

    internal static IEnumerable<BenchEntry> Measure(KernelContext context)
    {
        int[] batches = [1, context.Plan.SampleRows];
        return batches.SelectMany(rows => Methods.Select(method => Sample(context, rows, method)).Concat(Others(context, rows)));
    }

    private static BenchEntry Sample(KernelContext context, int rows, (string Name, SamplingSettings? Settings, bool Headline) method)
    {
        using var memory = new CaseMemory(context.Device);
        var table = memory.Own(new SamplingTable(context.Device, rows, 1));
        for (int row = 0; row < rows; row++)
        {
            table.Set(0, row, (method.Settings ?? Settings()) with { Seed = (ulong)row });
        }

        Func<int, Tensor> logits = Logits(context, memory, rows, out double bytes);
        Tensor sampleRows = SampleRows(memory, rows);
        Tensor ids = memory.Ints(rows, _ => 0);
        Tensor flags = memory.Ints(rows, _ => 0);
        long workspaceBytes = context.Device.SampleWorkspace(rows, context.Plan.Vocabulary);
        var workspace = new Workspace(memory.Allocate(workspaceBytes), workspaceBytes);
        Distribution microseconds = context.Timer.Measure(
            i => context.Device.Sample(logits(i), sampleRows, table, method.Settings is null, ids, flags, workspace));
        return context.Time($"{method.Name}, {Size(context, rows)}", microseconds, bytes).AsHeadline(method.Headline && rows > 1);
    }

    private static IEnumerable<BenchEntry> Others(KernelContext context, int rows)
    {
        using var memory = new CaseMemory(context.Device);
        Func<int, Tensor> logits = Logits(context, memory, rows, out double bytes);
        Tensor ids = memory.Ints(rows, row => row);
        Tensor logprobs = Tensor.Vector(memory.Allocate(sizeof(float) * rows), DataType.Float32, rows);
        Tensor ranks = memory.Ints(rows, _ => 0);
        const int top = 20;
        Tensor topIds = memory.Ints(rows, top, (_, _) => 0);
        Tensor topLogprobs = Tensor.Matrix(memory.Allocate(sizeof(float) * rows * top), DataType.Float32, rows, top);
        yield return context.Time($"log-probabilities, {Size(context, rows)}", context.Timer.Measure(i => context.Device.Logprobs(logits(i), ids, logprobs, ranks, default, default)), bytes);
        yield return context.Time(
            $"log-probabilities with the top {top}, {Size(context, rows)}",
            context.Timer.Measure(i => context.Device.Logprobs(logits(i), ids, logprobs, ranks, topIds, topLogprobs)),
            bytes);

        var table = memory.Own(new SamplingTable(context.Device, rows, 1));
        for (int row = 0; row < rows; row++)
        {
            table.Set(0, row, Settings() with { RepetitionPenalty = 1.1f, CountSlot = row % CountSlots });
        }

        Tensor counts = memory.Ints(CountSlots, context.Plan.Vocabulary, (_, id) => id % 97 == 0 ? 1 : 0);
        Tensor sampleRows = SampleRows(memory, rows);
        // Counts are read; logits only where a token was seen.
        yield return context.Time(
            $"penalties, {Size(context, rows)}", context.Timer.Measure(i => context.Device.Penalize(logits(i), sampleRows, counts, table)), bytes);

        const int edits = 10;
        Tensor positions = memory.Ints(rows * edits, 2, (edit, column) => column == 0 ? edit / edits : ((edit % edits * 10007) + (edit / edits)) % context.Plan.Vocabulary);
        Tensor values = Tensor.Vector(memory.Allocate(sizeof(float) * rows * edits), DataType.Float32, rows * edits);
        yield return context.Time(
            $"{edits} edits a row, {Size(context, rows)}", context.Timer.Measure(i => context.Device.EditLogits(logits(i), positions, values)), 20.0 * rows * edits);
        if (rows == 1)
        {
            const int prompt = 8192;
            Tensor updates = memory.Ints(prompt + 1, 4, (update, column) => column switch { 0 => 3, 1 => update == 0 ? -1 : update * 13 % context.Plan.Vocabulary, 2 => 1, _ => 0 });
            yield return context.Time(
                $"counts of a prompt of {prompt} tokens", context.Timer.Measure(_ => context.Device.UpdateTokenCounts(counts, updates)), (20.0 * prompt) + bytes);
        }
    }

    private static SamplingSettings Settings() => new() { Seed = 0, Temperature = 1, CountSlot = -1 };

    private static string Size(KernelContext context, int rows) => $"{rows} x {context.Plan.Vocabulary}";

    private static Tensor SampleRows(CaseMemory memory, int rows) => memory.Ints(rows, 4, (row, column) => column is 0 or 1 ? row : column == 2 ? 100 : 0);

    // One row of values that every row of every copy begins at another place.
    private static Func<int, Tensor> Logits(KernelContext context, CaseMemory memory, int rows, out double bytes)
    {
        int vocabulary = context.Plan.Vocabulary;
        var random = new Random(1);
        float[] twice = new float[2 * vocabulary];
        for (int i = 0; i < vocabulary; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            twice[i] = twice[i + vocabulary] = (float)(Deviation * normal);
        }

        long rowBytes = (long)vocabulary * sizeof(float);
        long copyBytes = rows * rowBytes;
        bytes = copyBytes;
        int copies = context.Copies(copyBytes);
        nint source = memory.Upload<float>(twice);
        nint data = memory.Allocate(copies * copyBytes);
        for (int row = 0; row < copies * rows; row++)
        {
            context.Device.CopyOnDevice(data + (nint)(row * rowBytes), source + (nint)((long)row * 7919 % vocabulary * sizeof(float)), rowBytes);
        }

        context.Device.Synchronize();
        return i => Tensor.Matrix(data + (nint)(i % copies * copyBytes), DataType.Float32, rows, vocabulary);
    }
}
