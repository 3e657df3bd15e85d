using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Time per output token at fixed batch and context, time to first token at fixed prompt lengths; through the engine's public
/// surface, by the engine's own time stamps (between tokens: by the reader's).
/// </summary>
internal sealed class LatencyBench
{
    private const int WarmUpTokens = 8;

    private readonly LatencySettings _settings;
    private readonly ServingContext _context;
    private readonly BenchRun _run;
    private readonly CancellationToken _cancellation;
    private int _prompts;

    private LatencyBench(LatencySettings settings, ServingContext context, BenchRun run, CancellationToken cancellation) =>
        (_settings, _context, _run, _cancellation) = (settings, context, run, cancellation);

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(LatencySettings settings, BenchRun run, CancellationToken cancellation)
    {
        using var context = ServingContext.Create(settings.EngineOptionsFor(), run);
        await new LatencyBench(settings, context, run, cancellation).MeasureAsync().ConfigureAwait(false);
        return run.Report(context.Engine.Capabilities.Device);
    }

    private async Task MeasureAsync()
    {
        foreach (int batch in _settings.Batches)
        {
            await DecodeAsync(batch).ConfigureAwait(false);
        }

        foreach (int tokens in _settings.Prompts)
        {
            await FirstTokenAsync(tokens).ConfigureAwait(false);
        }
    }

    private async Task DecodeAsync(int batch)
    {
        RequireRoom(batch);
        await GenerateAsync(batch, Math.Min(WarmUpTokens, _settings.Output)).ConfigureAwait(false);
        List<SteadyDecode> runs = [];
        string where = $"{_context.Model}, batch {batch}, context {_settings.Context}";
        BenchEntry[] costs = [];
        for (int i = 0; i < _settings.Repeats; i++)
        {
            runs.Add(SteadyDecode.Of(await GenerateAsync(batch, _settings.Output).ConfigureAwait(false)));
            costs = [.. _context.StepCosts(where)];
        }

        double floor = _context.Work.DecodeMilliseconds(batch, _settings.Context + (_settings.Output / 2.0));
        _run.Add(BenchEntry.Of($"TPOT, {where}", new Distribution(runs.Select(run => run.MillisecondsPerToken)), "ms", Better.Lower).Below(floor).AsHeadline());
        var gaps = new Distribution(runs.SelectMany(run => run.InterTokenMilliseconds));
        _run.Add(BenchEntry.Of($"ITL p50, {where}", gaps, "ms", Better.Lower));
        _run.Add(BenchEntry.Of($"ITL p99, {where}", gaps.P99, "ms", Better.Lower));
        _run.AddAll(costs);
    }

    private async Task FirstTokenAsync(int tokens)
    {
        List<double> times = [];
        for (int i = 0; i <= _settings.Repeats; i++)
        {
            TokenArrivals row = await TokenArrivals.ReadAsync(_context.Engine, NextPrompt(tokens), 1, null, _cancellation).ConfigureAwait(false);
            times.Add(row.Timings.TimeToFirstToken.TotalMilliseconds);
        }

        // The first one warms up.
        var samples = new Distribution(times.Skip(1));
        _run.Add(BenchEntry.Of($"TTFT, {_context.Model}, prompt {tokens}", samples, "ms", Better.Lower).Below(_context.Work.PrefillMilliseconds(tokens)).AsHeadline());
    }

    // Meters begin anew when the last row has its first token: from there on all decode.
    private Task<TokenArrivals[]> GenerateAsync(int batch, int output)
    {
        int waiting = batch;
        void OnFirst()
        {
            if (Interlocked.Decrement(ref waiting) == 0)
            {
                _context.Meters.Reset();
            }
        }

        Prompt[] prompts = [.. Enumerable.Range(0, batch).Select(_ => NextPrompt(_settings.Context))];
        return Task.WhenAll(prompts.Select(prompt => Task.Run(() => TokenArrivals.ReadAsync(_context.Engine, prompt, output, OnFirst, _cancellation), _cancellation)));
    }

    // No two prompts are equal, so that no cache of prefixes helps.
    private Prompt NextPrompt(int tokens) => RandomPrompts.Create(_prompts++, tokens, _context.Config.VocabSize);

    // A batch that does not fit would be measured with preemptions.
    private void RequireRoom(int batch)
    {
        MemoryStats memory = _context.Engine.Memory;
        long blocks = (long)batch * ((_settings.Context + _settings.Output + memory.BlockSize - 1) / memory.BlockSize);
        if (blocks > memory.TotalBlocks)
        {
            throw new VllmException($"a batch of {batch} requests of {_settings.Context} + {_settings.Output} tokens needs {blocks} KV blocks, the cache has {memory.TotalBlocks}; " +
                "give more with --kv-cache-memory-bytes, or a smaller --batch, --context or --output");
        }
    }
}
