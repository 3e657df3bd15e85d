using System.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>The whole engine on a model in the shape of TinyLlama 1.1B, random weights, bf16: from request to sampled ids.</summary>
internal sealed class TinyLlamaWorkload : IDisposable
{
    // config.json's: hidden, layers, KV heads by their width, vocabulary.
    private const long Hidden = 2048;
    private const long Layers = 22;
    private const long KvWidth = 4 * 64;
    private const long Vocabulary = 32000;
    private const long Intermediate = 5632;

    private readonly AsyncLlmEngine _engine;

    internal TinyLlamaWorkload(int threads = 0)
    {
        _engine = AsyncLlmEngine.Create(new EngineOptions
        {
            Model = BenchmarkFiles.Asset("configs", "tinyllama-1.1b.json"),
            LoadFormat = LoadFormat.Dummy,
            Threads = threads,
            MaxNumSeqs = 16,
            MaxNumBatchedTokens = 512,
            KvCacheMemoryBytes = 256 << 20,
            // The same prompt again and again is to be computed each time.
            EnablePrefixCaching = false,
        });
    }

    /// <summary>Parameters of all layers' matrices.</summary>
    private static long LayerParameters => Layers * ((Hidden * (Hidden + (2 * KvWidth))) + (Hidden * Hidden) + (3 * Hidden * Intermediate));

    /// <summary>Bytes that a decode step must read: every layer's matrices and the head; of the embedding, a row or two.</summary>
    internal static double WeightBytes => 2.0 * (LayerParameters + (Hidden * Vocabulary));

    /// <summary>Bytes of K and V that a decode step reads for one sequence.</summary>
    internal static double KvBytes(double context) => 2.0 * 2 * Layers * KvWidth * context;

    /// <summary>Multiplications and additions of the matrices in a prefill; the head works on one token.</summary>
    internal static double PrefillOperations(int tokens) => 2.0 * ((LayerParameters * tokens) + (Hidden * Vocabulary));

    /// <summary>Runs requests together; each step computes one token of each.</summary>
    /// <param name="sequences">Requests at the same time.</param>
    /// <param name="tokens">Tokens of each: as many steps.</param>
    /// <returns>Seconds between the tokens of the first request.</returns>
    internal double[] Decode(int sequences, int tokens)
    {
        Task<double[]>[] readers = [.. Enumerable.Range(0, sequences).Select(i => Task.Run(() => ReadAsync([3 + i], tokens)))];
        return Task.WhenAll(readers).GetAwaiter().GetResult()[0];
    }

    /// <summary>Computes a prompt of so many tokens in one step; returns its seconds.</summary>
    internal double Prefill(int tokens)
    {
        int[] prompt = [.. Enumerable.Range(0, tokens).Select(i => 3 + (i * 7919 % 31000))];
        long start = Stopwatch.GetTimestamp();
        Task.Run(() => ReadAsync(prompt, 1)).GetAwaiter().GetResult();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public void Dispose() => _engine.Dispose();

    private async Task<double[]> ReadAsync(int[] prompt, int tokens)
    {
        var parameters = new SamplingParams { Temperature = 0, MaxTokens = tokens, IgnoreEos = true, Detokenize = false };
        var times = new List<double>(tokens);
        int seen = 0;
        long last = 0;
        await foreach (RequestOutput output in _engine.GenerateAsync(prompt, parameters).ConfigureAwait(false))
        {
            long now = Stopwatch.GetTimestamp();
            int count = output.Outputs[0].TokenIds.Count;
            if (seen > 0 && count > seen)
            {
                // A reader that came late finds several tokens at once.
                times.AddRange(Enumerable.Repeat(Stopwatch.GetElapsedTime(last, now).TotalSeconds / (count - seen), count - seen));
            }

            (seen, last) = (count, now);
        }

        return [.. times];
    }
}
