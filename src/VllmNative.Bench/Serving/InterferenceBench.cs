using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// What long prompts do to requests that decode. Streams decode alone; then the same number of streams while prompts enter one after
/// the other, with chunks of a fixed size, and, on a second engine, with chunks that keep to a latency target, a multiple of the median
/// pause alone. Throughput is that of the same work: all streams and all prompts, from the streams' begin to the last one's end. While
/// prompts enter, smaller chunks compute fewer tokens a second, but they also leave less to be decoded afterwards.
/// </summary>
internal sealed class InterferenceBench
{
    private readonly InterferenceSettings _settings;
    private readonly ServingContext _context;
    private readonly CancellationToken _cancellation;
    private int _prompts;

    private InterferenceBench(InterferenceSettings settings, ServingContext context, CancellationToken cancellation) =>
        (_settings, _context, _cancellation) = (settings, context, cancellation);

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(InterferenceSettings settings, BenchRun run, CancellationToken cancellation)
    {
        Outcome alone;
        Outcome chunked;
        DeviceDescription device;
        string model;
        using (ServingContext context = ServingContext.Open(settings.FixedChunks()))
        {
            (device, model) = (context.Engine.Capabilities.Device, context.Model);
            var bench = new InterferenceBench(settings, context, cancellation);
            await bench.WarmUpAsync().ConfigureAwait(false);
            alone = await bench.MeasureAsync(0).ConfigureAwait(false);
            chunked = await bench.MeasureAsync(settings.Prompts).ConfigureAwait(false);
        }

        string streams = $"{model}, {settings.Streams} streams, context {settings.Context}";
        string where = $"{streams}, prompts of {settings.PromptTokens}";
        string work = $"{settings.Streams} x {settings.Output} output and {settings.Prompts} x {settings.PromptTokens} prompt tokens";
        double target = settings.TargetFactor * alone.Pauses.Median;
        run.Add(BenchEntry.Of($"ITL p50, no prompts, {streams}", alone.Pauses, "ms", Better.Lower).AsHeadline());
        run.Add(BenchEntry.Of($"ITL p99, no prompts, {streams}", alone.Pauses.P99, "ms", Better.Lower));
        run.Add(BenchEntry.Of($"output tokens a second, no prompts, {streams}", alone.TokensPerSecond, "tok/s", Better.Higher));
        Show(chunked, $"chunks of {settings.Chunk}");

        Outcome targeted;
        using (ServingContext context = ServingContext.Open(settings.Targeted(TimeSpan.FromMilliseconds(target))))
        {
            var bench = new InterferenceBench(settings, context, cancellation);
            await bench.WarmUpAsync().ConfigureAwait(false);
            targeted = await bench.MeasureAsync(settings.Prompts).ConfigureAwait(false);
        }

        Show(targeted, FormattableString.Invariant($"target {settings.TargetFactor} x p50"));
        double ratio = targeted.TokensPerSecond / chunked.TokensPerSecond;
        run.Add(BenchEntry.Of($"all tokens a second of the same work, latency target over chunks of {settings.Chunk}, {where}", ratio, "x", Better.Higher).AsHeadline());
        return run.Report(device);

        void Show(Outcome outcome, string how)
        {
            double rounded = Figures.Round(target);
            run.Add(BenchEntry.Of($"ITL p50, {how}, {where}", outcome.Pauses, "ms", Better.Lower) with { Target = rounded });
            run.Add((BenchEntry.Of($"ITL p99, {how}, {where}", outcome.Pauses.P99, "ms", Better.Lower) with { Target = rounded }).AsHeadline());
            run.Add(BenchEntry.Of($"prompt tokens a second beside the streams, {how}, {where}", outcome.PromptTokensPerSecond, "tok/s", Better.Higher).AsHeadline());
            run.Add(BenchEntry.Of($"prompts of {settings.Prompts} done before the first stream, {how}, {where}", outcome.PromptsBeside, "prompts", Better.Higher));
            run.Add(BenchEntry.Of($"all tokens a second of the same work, {work}, {how}, {streams}", outcome.TokensPerSecond, "tok/s", Better.Higher));
        }
    }

    // The longest steps happen for the first time, and a scheduler with a target learns what prefill costs.
    private async Task WarmUpAsync()
    {
        DecodeStreams streams = await StartAsync().ConfigureAwait(false);
        await using (streams.ConfigureAwait(false))
        {
            await streams.BegunAsync().ConfigureAwait(false);
            await EnterAsync().ConfigureAwait(false);
        }
    }

    private async Task<Outcome> MeasureAsync(int prompts)
    {
        DecodeStreams streams = await StartAsync().ConfigureAwait(false);
        long start = TimeProvider.System.GetTimestamp();
        await using (streams.ConfigureAwait(false))
        {
            await streams.BegunAsync().ConfigureAwait(false);
            long from = TimeProvider.System.GetTimestamp();
            long[] done = new long[prompts];
            for (int i = 0; i < prompts; i++)
            {
                await EnterAsync().ConfigureAwait(false);
                done[i] = TimeProvider.System.GetTimestamp();
            }

            await streams.EndAsync().ConfigureAwait(false);
            int beside = done.Count(time => time <= streams.FirstEnd);
            long until = beside == prompts && prompts > 0 ? done[^1] : streams.FirstEnd;
            double[] pauses = [.. streams.PausesBetween(from, until)];
            if (pauses.Length == 0)
            {
                throw new VllmException($"no stream had a pause between two of its {_settings.Output} tokens while it was measured; give more with --output");
            }

            double tokens = ((double)_settings.Streams * _settings.Output) + ((double)prompts * _settings.PromptTokens);
            // When none was done in time, the first one, which then had the device to itself in the end: no more than that much.
            int counted = Math.Max(beside, Math.Min(prompts, 1));
            return new Outcome(
                new Distribution(pauses),
                counted == 0 ? 0 : (double)counted * _settings.PromptTokens / Seconds(from, done[counted - 1]),
                beside,
                tokens / Seconds(start, Math.Max(streams.LastEnd, prompts == 0 ? 0 : done[^1])));
        }
    }

    // Prompts of streams are computed before any of them decodes: else the first would be far ahead when the last begins.
    private async Task<DecodeStreams> StartAsync()
    {
        Prompt[] prompts = [.. Enumerable.Range(0, _settings.Streams).Select(_ => NextPrompt(_settings.Context))];
        await Task.WhenAll(prompts.Select(prompt => TokenArrivals.ReadAsync(_context.Engine, prompt, 1, null, _cancellation))).ConfigureAwait(false);
        return new DecodeStreams(_context.Engine, prompts, _settings.Output, _cancellation);
    }

    private async Task EnterAsync() => await TokenArrivals.ReadAsync(_context.Engine, NextPrompt(_settings.PromptTokens), 1, null, _cancellation).ConfigureAwait(false);

    private Prompt NextPrompt(int tokens) => RandomPrompts.Create(_prompts++, tokens, _context.Config.VocabSize);

    private static double Seconds(long from, long to) => TimeProvider.System.GetElapsedTime(from, to).TotalSeconds;

    /// <param name="Pauses">Between tokens of a stream in ms, while prompts enter; of all its tokens where none do.</param>
    /// <param name="PromptTokensPerSecond">While streams decode.</param>
    /// <param name="PromptsBeside">Prompts that were done before the first stream was.</param>
    /// <param name="TokensPerSecond">Those of prompts and those that streams generated, over the whole work.</param>
    private sealed record Outcome(Distribution Pauses, double PromptTokensPerSecond, int PromptsBeside, double TokensPerSecond);
}
