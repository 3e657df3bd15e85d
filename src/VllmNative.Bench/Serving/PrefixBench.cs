using VllmNative.Bench.Results;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Time to first token of requests that share a long beginning, with the prefix cache and without it, on one engine: without it means
/// that the requests ask for all of their prompt to be computed. The cache is empty but for the one request that comes first.
/// </summary>
internal sealed class PrefixBench
{
    private static readonly RequestScheduling Uncached = new() { SkipReadingPrefixCache = true };

    private readonly PrefixSettings _settings;
    private readonly ServingContext _context;
    private readonly BenchRun _run;
    private readonly CancellationToken _cancellation;
    private readonly string _where;
    private int _suffixes;

    private PrefixBench(PrefixSettings settings, ServingContext context, BenchRun run, CancellationToken cancellation)
    {
        (_settings, _context, _run, _cancellation) = (settings, context, run, cancellation);
        _where = $"{context.Model}, {settings.Requests} prompts of {settings.PrefixTokens} common and {settings.SuffixTokens} own tokens";
    }

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(PrefixSettings settings, BenchRun run, CancellationToken cancellation)
    {
        using ServingContext context = ServingContext.Open(settings.EngineOptionsFor());
        var bench = new PrefixBench(settings, context, run, cancellation);
        await bench.CompareAsync("one at a time", bench.OneByOneAsync).ConfigureAwait(false);
        await bench.CompareAsync("all at once", bench.AllAtOnceAsync).ConfigureAwait(false);
        return run.Report(context.Engine.Capabilities.Device);
    }

    private async Task CompareAsync(string how, Func<RequestScheduling, Task<double[]>> firstTokens)
    {
        // Once for nothing: the longest steps happen for the first time.
        await firstTokens(Uncached).ConfigureAwait(false);
        var without = new Distribution(await firstTokens(Uncached).ConfigureAwait(false));
        _context.Engine.ResetPrefixCache();
        await FirstTokenAsync(NextPrompt(), RequestScheduling.Default).ConfigureAwait(false);
        MemoryStats before = _context.Engine.Memory;
        var with = new Distribution(await firstTokens(RequestScheduling.Default).ConfigureAwait(false));
        MemoryStats after = _context.Engine.Memory;
        Times($"without prefix cache, {how}", without);
        Times($"with prefix cache, {how}", with);
        _run.Add(BenchEntry.Of($"TTFT without over with prefix cache, {how}, {_where}", without.Median / with.Median, "x", Better.Higher).AsHeadline());
        double hits = (double)(after.PrefixCacheHits - before.PrefixCacheHits) / (after.PrefixCacheQueries - before.PrefixCacheQueries);
        _run.Add(BenchEntry.Of($"prefix cache hits, {how}, {_where}", 100 * hits, "% of tokens", Better.Higher));
    }

    private void Times(string what, Distribution times)
    {
        _run.Add(BenchEntry.Of($"TTFT {what}, {_where}", times, "ms", Better.Lower).AsHeadline());
        _run.Add(BenchEntry.Of($"TTFT p90 {what}, {_where}", times.Percentile(90), "ms", Better.Lower));
    }

    private async Task<double[]> OneByOneAsync(RequestScheduling scheduling)
    {
        double[] times = new double[_settings.Requests];
        for (int i = 0; i < times.Length; i++)
        {
            times[i] = await FirstTokenAsync(NextPrompt(), scheduling).ConfigureAwait(false);
        }

        return times;
    }

    private Task<double[]> AllAtOnceAsync(RequestScheduling scheduling)
    {
        Prompt[] prompts = [.. Enumerable.Range(0, _settings.Requests).Select(_ => NextPrompt())];
        return Task.WhenAll(prompts.Select(prompt => Task.Run(() => FirstTokenAsync(prompt, scheduling), _cancellation)));
    }

    private async Task<double> FirstTokenAsync(Prompt prompt, RequestScheduling scheduling)
    {
        TokenArrivals row = await TokenArrivals.ReadAsync(_context.Engine, prompt, 1, null, _cancellation, scheduling).ConfigureAwait(false);
        return row.Timings.TimeToFirstToken.TotalMilliseconds;
    }

    // Seed 0 is the common beginning; what follows it is never the same twice.
    private Prompt NextPrompt()
    {
        int vocabulary = _context.Config.VocabSize;
        int[] ids = [.. RandomPrompts.Create(0, _settings.PrefixTokens, vocabulary).TokenIds!, .. RandomPrompts.Create(++_suffixes, _settings.SuffixTokens, vocabulary).TokenIds!];
        return ids;
    }
}
