using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>Requests that decode until they are told to stop, and when their readers got each token.</summary>
internal sealed class DecodeStreams : IAsyncDisposable
{
    private readonly long[][] _arrivals;
    private readonly int[] _counts;
    private readonly Task[] _readers;
    private readonly CancellationTokenSource _stop;

    /// <summary>Starts them.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="prompts">One for each.</param>
    /// <param name="tokens">Most tokens of each.</param>
    /// <param name="cancellation">Ends them too.</param>
    internal DecodeStreams(AsyncLlmEngine engine, IReadOnlyList<Prompt> prompts, int tokens, CancellationToken cancellation)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _arrivals = [.. prompts.Select(_ => new long[tokens])];
        _counts = new int[prompts.Count];
        _readers = [.. prompts.Select((prompt, stream) => Task.Run(() => ReadAsync(engine, prompt, tokens, stream)))];
    }

    /// <summary>Waits until each of them has so many more tokens than now.</summary>
    /// <exception cref="VllmException">One of them has ended.</exception>
    internal async Task AdvanceAsync(int tokens)
    {
        int[] goals = [.. Enumerable.Range(0, _counts.Length).Select(stream => Volatile.Read(ref _counts[stream]) + tokens)];
        while (Enumerable.Range(0, goals.Length).Any(stream => Volatile.Read(ref _counts[stream]) < goals[stream]))
        {
            RequireRunning();
            await Task.Delay(1, _stop.Token).ConfigureAwait(false);
        }
    }

    /// <exception cref="VllmException">One of them has ended.</exception>
    internal void RequireRunning()
    {
        if (Array.Find(_readers, reader => reader.IsCompleted) is not { } ended)
        {
            return;
        }

        if (ended.IsFaulted)
        {
            throw new VllmException($"a decoding request failed: {ended.Exception!.InnerException!.Message}", ended.Exception);
        }

        throw new VllmException($"a decoding request has ended after its {_arrivals[0].Length} tokens, before the prompts were done; give more with --output, or fewer --prompts");
    }

    /// <summary>
    /// Pauses in milliseconds between what a stream's reader got and what it got next, as far as they ended in the window of timestamps;
    /// tokens that reached it together have no pause between them.
    /// </summary>
    internal IEnumerable<double> PausesBetween(long from, long to)
    {
        for (int stream = 0; stream < _arrivals.Length; stream++)
        {
            int count = Volatile.Read(ref _counts[stream]);
            for (int i = 1; i < count; i++)
            {
                if (_arrivals[stream][i] > _arrivals[stream][i - 1] && IsWithin(_arrivals[stream][i], from, to))
                {
                    yield return TimeProvider.System.GetElapsedTime(_arrivals[stream][i - 1], _arrivals[stream][i]).TotalMilliseconds;
                }
            }
        }
    }

    /// <summary>Tokens of all streams in the window of timestamps.</summary>
    internal int TokensBetween(long from, long to) =>
        Enumerable.Range(0, _arrivals.Length).Sum(stream => _arrivals[stream].Take(Volatile.Read(ref _counts[stream])).Count(arrival => IsWithin(arrival, from, to)));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        // How they ended was of interest only while they were needed.
        await Task.WhenAll(_readers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private static bool IsWithin(long time, long from, long to) => time > from && time <= to;

    private async Task ReadAsync(AsyncLlmEngine engine, Prompt prompt, int tokens, int stream)
    {
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, TokenArrivals.ParametersFor(tokens), cancellationToken: _stop.Token).ConfigureAwait(false))
        {
            long now = TimeProvider.System.GetTimestamp();
            if (output.Error is { } error)
            {
                throw new VllmException(error);
            }

            // A reader that comes late finds several tokens at once: they have reached it together.
            int count = output.Outputs[0].TokenIds.Count;
            _arrivals[stream].AsSpan(_counts[stream], count - _counts[stream]).Fill(now);
            Volatile.Write(ref _counts[stream], count);
        }
    }
}
