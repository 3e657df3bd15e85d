using VllmNative.Benchmarks.Workloads;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Benchmarks.Report;

/// <summary>The figures that the table holds; each takes seconds.</summary>
internal static class Headlines
{
    private const double Seconds = 2;
    private const int DecodeSteps = 32;
    private const int PromptTokens = 512;

    internal static IEnumerable<Figure> Measure(int threads, double bf16Peak)
    {
        yield return NativeCall();
        foreach (int running in (int[])[64, 256])
        {
            using var scheduler = new SchedulerWorkload(running);
            yield return new Figure($"Schedule and commit a step, {running} requests", Many(1000, () => scheduler.Step()), running / 1e6, "M tokens/s");
        }

        foreach (int running in (int[])[256, 1024])
        {
            using var scheduler = new SchedulerWorkload(running);
            yield return new Figure($"Schedule a step, {running} requests", Schedule(scheduler), running / 1e6, "M tokens/s");
        }

        using (var scheduler = new SchedulerWorkload(256, waiting: 16))
        {
            yield return new Figure("Schedule a step, 256 requests, 16 prompts of 8192 tokens wait for blocks", Schedule(scheduler), 256 / 1e6, "M tokens/s");
        }

        var prefixes = new PrefixWorkload();
        double promptTokens = PrefixWorkload.PromptTokens / 1e6;
        yield return new Figure($"Prefix cache: hash and look up {PrefixWorkload.PromptTokens} cached tokens, on the caller's thread", Many(10, prefixes.Prepare), promptTokens, "M tokens/s");
        yield return new Figure("Prefix cache: the same tokens on the engine thread, as the caller's found them", Many(10, prefixes.Confirm), promptTokens, "M tokens/s");
        yield return new Figure($"Prefix cache: look up {PrefixWorkload.PromptTokens} cached tokens that it did not", Many(10, prefixes.LookUp), promptTokens, "M tokens/s");
        yield return new Figure("KV block: take and release", Many(100_000, prefixes.TakeAndRelease), 1e-6, "M blocks/s");

        var tokenizer = new TokenizerWorkload();
        double mebibytes = tokenizer.TextBytes / (double)(1 << 20);
        yield return new Figure("Tokenizer: encode, one thread", Many(100, () => tokenizer.Encode()), mebibytes, "MiB/s");
        yield return new Figure("Tokenizer: decode, one thread", Many(100, () => tokenizer.Decode()), tokenizer.Tokens / 1e6, "M tokens/s");

        using var read = new ReadBandwidth(threads);
        using (var gemm = new GemmWorkload(1, 2048, 5632, threads))
        {
            yield return Reading("GEMM bf16, M=1 (N=2048, K=5632)", read, gemm.WeightBytes, () => Sample.Times(Seconds / 4, gemm.Run));
        }

        using (var gemm = new GemmWorkload(PromptTokens, 2048, 5632, threads))
        {
            yield return new Figure("GEMM bf16, M=512 (N=2048, K=5632)", Sample.Measure(Seconds, gemm.Run), gemm.Operations / 1e9, "GFLOP/s", bf16Peak / 1e9);
        }

        using (var attention = new AttentionWorkload(16, 1, 1024, threads))
        {
            yield return Reading("Attention bf16, decode, 16 x 1024 tokens", read, attention.KvBytes, () => Sample.Times(Seconds / 4, attention.Run));
        }

        using (var attention = new AttentionWorkload(1, PromptTokens, PromptTokens, threads))
        {
            yield return new Figure("Attention bf16, prompt of 512 tokens", Sample.Measure(Seconds, attention.Run), attention.Operations / 1e9, "GFLOP/s");
        }

        using var model = new TinyLlamaWorkload(threads);
        foreach (Figure figure in Model(model, read, bf16Peak))
        {
            yield return figure;
        }
    }

    private static IEnumerable<Figure> Model(TinyLlamaWorkload model, ReadBandwidth read, double bf16Peak)
    {
        model.Decode(1, 4);
        double bytes = TinyLlamaWorkload.WeightBytes + TinyLlamaWorkload.KvBytes(DecodeSteps / 2.0);
        Figure one = Reading("1.1B model bf16, decode step, batch 1", read, bytes, () => model.Decode(1, DecodeSteps));
        yield return one;
        yield return new Figure("1.1B model bf16, decode, batch 1", new Sample(one.MedianSeconds, one.FastSeconds), 1, "tokens/s");
        model.Decode(16, 4);
        Sample sixteen = Sample.Of(Enumerable.Range(0, 2).SelectMany(_ => model.Decode(16, DecodeSteps)));
        yield return new Figure("1.1B model bf16, decode, batch 16", sixteen, 16, "tokens/s");
        model.Prefill(PromptTokens);
        Sample prefill = Sample.Of(Enumerable.Range(0, 7).Select(_ => model.Prefill(PromptTokens)));
        yield return new Figure("1.1B model bf16, prompt of 512 tokens", prefill, TinyLlamaWorkload.PrefillOperations(PromptTokens) / 1e9, "GFLOP/s", bf16Peak / 1e9);
        yield return new Figure("1.1B model bf16, prompt of 512 tokens", prefill, PromptTokens, "tokens/s");
    }

    // Both are measured in turns: what slows memory down for a while slows both down.
    private static Figure Reading(string name, ReadBandwidth read, double bytes, Func<IEnumerable<double>> times)
    {
        const int turns = 4;
        List<double> reading = read.Read();
        List<double> work = [];
        for (int turn = 0; turn < turns; turn++)
        {
            work.AddRange(times());
            reading.AddRange(read.Read());
        }

        return new Figure(name, Sample.Of(work), bytes / 1e9, "GB/s", ReadBandwidth.RunBytes / Sample.Of(reading).Fast / 1e9);
    }

    // By its own clock, beside what else a step is.
    private static Sample Schedule(SchedulerWorkload scheduler)
    {
        const int warmUp = 2000;
        const int steps = 20_000;
        return Sample.Of(Enumerable.Range(0, warmUp + steps).Select(_ => scheduler.Step().TotalSeconds).Skip(warmUp));
    }

    private static Figure NativeCall()
    {
        using Device device = Device.Create(DeviceKind.Cpu, 0, 1);
        return new Figure("P/Invoke call with a handle", Many(100_000, device.Synchronize), 1e-6, "M calls/s");
    }

    // Too short for the clock alone.
    private static Sample Many(int count, Action run) => Sample.Measure(
        Seconds / 2,
        () =>
        {
            for (int i = 0; i < count; i++)
            {
                run();
            }
        }).DividedBy(count);
}
