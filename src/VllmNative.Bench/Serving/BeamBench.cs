using System.Diagnostics;
using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Beam search inside the engine beside the same search outside of it: a loop in which every beam is a new request for one token a step, with
/// twice as many log-probabilities as there are beams; with the prefix cache and without it. All generate to the same length.
/// </summary>
internal sealed class BeamBench
{
    private readonly BeamSettings _settings;
    private readonly ServingContext _context;
    private readonly Action<BenchEntry> _add;
    private readonly CancellationToken _cancellation;
    private readonly string _where;
    private int _prompts;

    private BeamBench(BeamSettings settings, ServingContext context, Action<BenchEntry> add, CancellationToken cancellation)
    {
        (_settings, _context, _add, _cancellation) = (settings, context, add, cancellation);
        _where = $"{context.Model}, width {settings.Width}, {settings.InputTokens} + {settings.OutputTokens} tokens";
    }

    /// <param name="settings">What to measure.</param>
    /// <param name="command">The command line, for the report.</param>
    /// <param name="show">Gets each entry as soon as it is there.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(BeamSettings settings, string command, Action<BenchEntry> show, CancellationToken cancellation)
    {
        settings.Validate();
        List<BenchEntry> entries = [];
        using ServingContext context = ServingContext.Open(settings.EngineOptionsFor());
        var bench = new BeamBench(
            settings,
            context,
            entry =>
            {
                entries.Add(entry);
                show(entry);
            },
            cancellation);
        await bench.CompareAsync().ConfigureAwait(false);
        return Provenance.Report("beams", context.Engine.Capabilities.Device, command, entries);
    }

    private async Task CompareAsync()
    {
        // Once for nothing: the longest steps happen for the first time.
        await SearchAsync(NextPrompt()).ConfigureAwait(false);
        await LoopAsync(NextPrompt(), RequestScheduling.Default).ConfigureAwait(false);
        double inside = await MeasureAsync("inside the engine", SearchAsync).ConfigureAwait(false);
        double cached = await MeasureAsync("as a loop of requests with prefix cache", prompt => LoopAsync(prompt, RequestScheduling.Default)).ConfigureAwait(false);
        double uncached = await MeasureAsync(
            "as a loop of requests without prefix cache", prompt => LoopAsync(prompt, new RequestScheduling { SkipReadingPrefixCache = true })).ConfigureAwait(false);
        _add(BenchEntry.Of($"beam search, inside over loop with prefix cache, {_where}", cached / inside, "x", Better.Higher).AsHeadline());
        _add(BenchEntry.Of($"beam search, inside over loop without prefix cache, {_where}", uncached / inside, "x", Better.Higher).AsHeadline());
    }

    private async Task<double> MeasureAsync(string how, Func<Prompt, Task> search)
    {
        double[] milliseconds = new double[_settings.Searches];
        for (int i = 0; i < milliseconds.Length; i++)
        {
            Prompt prompt = NextPrompt();
            long started = Stopwatch.GetTimestamp();
            await search(prompt).ConfigureAwait(false);
            milliseconds[i] = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        }

        var times = new Distribution(milliseconds);
        _add(BenchEntry.Of($"beam search {how}, {_where}", times, "ms", Better.Lower).AsHeadline());
        return times.Median;
    }

    private async Task SearchAsync(Prompt prompt)
    {
        SamplingParams beams = new BeamSearchParams { BeamWidth = _settings.Width, MaxTokens = _settings.OutputTokens, IgnoreEos = true }.ToSamplingParams();
        RequestOutput found = await RunAsync(prompt, beams with { Detokenize = false }, RequestScheduling.Default).ConfigureAwait(false);
        if (found.Outputs.Any(output => output.TokenIds.Count != _settings.OutputTokens))
        {
            throw new VllmException($"a beam search ended before its {_settings.OutputTokens} tokens");
        }
    }

    private async Task LoopAsync(Prompt prompt, RequestScheduling scheduling)
    {
        SamplingParams one = SamplingParams.Greedy with { MaxTokens = 1, Logprobs = 2 * _settings.Width, IgnoreEos = true, Detokenize = false };
        List<(int[] Ids, double Logprob)> beams = [([.. prompt.TokenIds!], 0)];
        for (int step = 0; step < _settings.OutputTokens; step++)
        {
            RequestOutput[] outputs = await Task.WhenAll(beams.Select(beam => RunAsync(beam.Ids, one, scheduling))).ConfigureAwait(false);
            beams = [.. beams
                .Zip(outputs)
                .SelectMany(pair => pair.Second.Outputs[0].Logprobs![0].Top.Select(top => (Beam: pair.First.Ids, top.TokenId, Logprob: pair.First.Logprob + top.Logprob)))
                .OrderByDescending(next => next.Logprob)
                .Take(_settings.Width)
                .Select(next => ((int[])[.. next.Beam, next.TokenId], next.Logprob))];
        }
    }

    private async Task<RequestOutput> RunAsync(Prompt prompt, SamplingParams parameters, RequestScheduling scheduling)
    {
        RequestOutput? last = null;
        await foreach (RequestOutput output in _context.Engine.GenerateAsync(prompt, parameters, scheduling: scheduling, cancellationToken: _cancellation).ConfigureAwait(false))
        {
            last = output;
        }

        return last is { Finished: true, Error: null } ? last : throw new VllmException($"a request failed: {last?.Error ?? "the engine ended it"}");
    }

    private Prompt NextPrompt() => RandomPrompts.Create(++_prompts, _settings.InputTokens, _context.Config.VocabSize);
}
