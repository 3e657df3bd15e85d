using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// What long prompts do to requests that decode: pauses between tokens and prefill speed while prompts enter one after the other,
/// first with chunks of a fixed size, then with chunks that keep to a latency target, on two engines one after the other. The target
/// is a multiple of the pause that the first engine makes while there is no prompt.
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
    /// <param name="command">The command line, for the report.</param>
    /// <param name="show">Gets each entry as soon as it is there.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(InterferenceSettings settings, string command, Action<BenchEntry> show, CancellationToken cancellation)
    {
        settings.Validate();
        List<BenchEntry> entries = [];
        void Add(BenchEntry entry)
        {
            entries.Add(entry);
            show(entry);
        }

        (_, string model) = ServingContext.Describe(settings.FixedChunks());
        string streams = $"{model}, {settings.Streams} streams, context {settings.Context}";
        string where = $"{streams}, prompts of {settings.PromptTokens}";
        Outcome chunked = await MeasureAsync(settings, settings.FixedChunks(), cancellation).ConfigureAwait(false);
        double target = settings.TargetFactor * chunked.Alone.Median;
        Add(BenchEntry.Of($"ITL p50, no prompts, {streams}", chunked.Alone, "ms", Better.Lower).AsHeadline());
        Add(BenchEntry.Of($"ITL p99, no prompts, {streams}", chunked.Alone.P99, "ms", Better.Lower));
        string byChunk = $"chunks of {settings.Chunk}, {where}";
        Show(chunked, byChunk, null);

        Outcome targeted = await MeasureAsync(settings, settings.Targeted(TimeSpan.FromMilliseconds(target)), cancellation).ConfigureAwait(false);
        string byTarget = FormattableString.Invariant($"target {settings.TargetFactor} x p50, {where}");
        Show(targeted, byTarget, target);
        Add(BenchEntry.Of($"all tokens a second, latency target over chunks of {settings.Chunk}, {where}", targeted.AllTokens / chunked.AllTokens, "x", Better.Higher).AsHeadline());
        return Provenance.Report("interference", chunked.Device, command, entries);

        void Show(Outcome outcome, string how, double? aim)
        {
            double? rounded = aim is { } value ? Figures.Round(value) : null;
            Add(BenchEntry.Of($"ITL p50, {how}", outcome.Pauses, "ms", Better.Lower) with { Target = rounded });
            Add((BenchEntry.Of($"ITL p99, {how}", outcome.Pauses.P99, "ms", Better.Lower) with { Target = rounded }).AsHeadline());
            Add(BenchEntry.Of($"prompt tokens a second, {how}", outcome.PromptTokens, "tok/s", Better.Higher).AsHeadline());
            Add(BenchEntry.Of($"all tokens a second, {how}", outcome.AllTokens, "tok/s", Better.Higher));
        }
    }

    private static async Task<Outcome> MeasureAsync(InterferenceSettings settings, EngineOptions options, CancellationToken cancellation)
    {
        using ServingContext context = ServingContext.Open(options);
        return await new InterferenceBench(settings, context, cancellation).MeasureAsync().ConfigureAwait(false);
    }

    private async Task<Outcome> MeasureAsync()
    {
        Prompt[] prompts = [.. Enumerable.Range(0, _settings.Streams).Select(_ => NextPrompt(_settings.Context))];
        var streams = new DecodeStreams(_context.Engine, prompts, _settings.Output, _cancellation);
        await using (streams.ConfigureAwait(false))
        {
            await streams.AdvanceAsync(1).ConfigureAwait(false);
            // The first one warms up, and teaches a scheduler with a target what prefill costs.
            await EnterAsync(streams).ConfigureAwait(false);
            await streams.AdvanceAsync(2).ConfigureAwait(false);
            long alone = TimeProvider.System.GetTimestamp();
            await streams.AdvanceAsync(_settings.SteadyTokens).ConfigureAwait(false);
            long from = TimeProvider.System.GetTimestamp();
            for (int i = 0; i < _settings.Prompts; i++)
            {
                await EnterAsync(streams).ConfigureAwait(false);
            }

            long to = TimeProvider.System.GetTimestamp();
            // The pause that the end of the prompts falls into is one of theirs.
            await streams.AdvanceAsync(1).ConfigureAwait(false);
            long end = TimeProvider.System.GetTimestamp();
            double seconds = TimeProvider.System.GetElapsedTime(from, to).TotalSeconds;
            double entered = (double)_settings.Prompts * _settings.PromptTokens;
            return new Outcome(
                _context.Engine.Capabilities.Device,
                new Distribution(streams.PausesBetween(alone, from)),
                new Distribution(streams.PausesBetween(from, end)),
                entered / seconds,
                (entered + streams.TokensBetween(from, to)) / seconds);
        }
    }

    private async Task EnterAsync(DecodeStreams streams)
    {
        await TokenArrivals.ReadAsync(_context.Engine, NextPrompt(_settings.PromptTokens), 1, null, _cancellation).ConfigureAwait(false);
        streams.RequireRunning();
    }

    private Prompt NextPrompt(int tokens) => RandomPrompts.Create(_prompts++, tokens, _context.Config.VocabSize);

    /// <param name="Device">What computed.</param>
    /// <param name="Alone">Pauses between tokens while nothing enters, in ms.</param>
    /// <param name="Pauses">The same while prompts enter.</param>
    /// <param name="PromptTokens">A second, while prompts enter.</param>
    /// <param name="AllTokens">A second, those of prompts and those that streams generated.</param>
    private sealed record Outcome(DeviceDescription Device, Distribution Alone, Distribution Pauses, double PromptTokens, double AllTokens);
}
