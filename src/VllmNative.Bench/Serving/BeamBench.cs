using System.Diagnostics;
using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>
/// Beam search inside the engine beside the same search outside of it: a loop in which every beam is a new request for one token a step, with
/// twice as many log-probabilities as there are beams; with the prefix cache and without it. All generate to the same length. Beside them
/// what no search can do without: the prompt, and steps of as many rows.
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

    // In turns, so that all are slowed down alike by whatever else the machine does.
    private async Task CompareAsync()
    {
        var prompt = new Way("prompt of a beam search", PromptAsync);
        var rows = new Way("as many completions as a beam search has beams", CompletionsAsync);
        var inside = new Way("beam search inside the engine", SearchAsync);
        var cached = new Way("beam search as a loop of requests with prefix cache", prompt => LoopAsync(prompt, RequestScheduling.Default));
        var uncached = new Way("beam search as a loop of requests without prefix cache", prompt => LoopAsync(prompt, new RequestScheduling { SkipReadingPrefixCache = true }));
        Way[] ways = [prompt, rows, inside, cached, uncached];

        // Once for nothing: the longest steps happen for the first time.
        foreach (Way way in ways.SkipLast(1))
        {
            await way.Run(NextPrompt()).ConfigureAwait(false);
        }

        for (int search = 0; search < _settings.Searches; search++)
        {
            foreach (Way way in ways)
            {
                await TimeAsync(way).ConfigureAwait(false);
            }
        }

        foreach (Way way in ways)
        {
            _add(BenchEntry.Of($"{way.Name}, {_where}", new Distribution(way.Milliseconds), "ms", Better.Lower).AsHeadline());
        }

        _add(BenchEntry.Of($"beam search, inside over loop with prefix cache, {_where}", cached.Median / inside.Median, "x", Better.Higher).AsHeadline());
        _add(BenchEntry.Of($"beam search, inside over loop without prefix cache, {_where}", uncached.Median / inside.Median, "x", Better.Higher).AsHeadline());

        // Without the prompt, which all of these compute once. Rows that need not wait for each other are what a search can come near to.
        foreach (Way way in (Way[])[rows, inside, cached])
        {
            _add(BenchEntry.Of($"a step, {way.Name}, {_where}", StepOf(way, prompt), "ms", Better.Lower).AsHeadline());
        }

        _add(BenchEntry.Of($"a step, beam search, inside over loop with prefix cache, {_where}", StepOf(cached, prompt) / StepOf(inside, prompt), "x", Better.Higher).AsHeadline());
    }

    private double StepOf(Way way, Way prompt) => (way.Median - prompt.Median) / (_settings.OutputTokens - 1);

    private async Task TimeAsync(Way way)
    {
        Prompt prompt = NextPrompt();
        long started = Stopwatch.GetTimestamp();
        await way.Run(prompt).ConfigureAwait(false);
        way.Milliseconds.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    private Task<RequestOutput> PromptAsync(Prompt prompt) => RunAsync(prompt, SamplingParams.Greedy with { MaxTokens = 1, IgnoreEos = true, Detokenize = false }, RequestScheduling.Default);

    // As many rows, which share the prompt. Drawn from the likeliest token alone, since greedy requests have one completion.
    private Task<RequestOutput> CompletionsAsync(Prompt prompt) => RunAsync(
        prompt,
        new SamplingParams { N = _settings.Width, TopK = 1, MaxTokens = _settings.OutputTokens, IgnoreEos = true, Detokenize = false, OutputKind = OutputKind.FinalOnly },
        RequestScheduling.Default);

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

    private sealed record Way(string Name, Func<Prompt, Task> Run)
    {
        internal List<double> Milliseconds { get; } = [];

        internal double Median => new Distribution(Milliseconds).Median;
    }
}
