using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Bench.Serving;

/// <summary>Requests that decode side by side, and when their readers got each token.</summary>
internal sealed class DecodeStreams : IAsyncDisposable
{
    private readonly long[][] _arrivals;
    private readonly int[] _counts;
    private readonly Task[] _readers;
    private readonly CancellationTokenSource _stop;
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _notBegun;

    /// <summary>Starts them.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="prompts">One for each.</param>
    /// <param name="tokens">That each generates.</param>
    /// <param name="cancellation">Ends them too.</param>
    internal DecodeStreams(AsyncLlmEngine engine, IReadOnlyList<Prompt> prompts, int tokens, CancellationToken cancellation)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _arrivals = [.. prompts.Select(_ => new long[tokens])];
        _counts = new int[prompts.Count];
        _notBegun = prompts.Count;
        _readers = [.. prompts.Select((prompt, stream) => Task.Run(() => ReadAsync(engine, prompt, tokens, stream)))];
    }

    /// <summary>When the first of them had its last token; after <see cref="EndAsync"/>.</summary>
    internal long FirstEnd => _arrivals.Min(arrivals => arrivals[^1]);

    /// <summary>When the last of them had its last token; after <see cref="EndAsync"/>.</summary>
    internal long LastEnd => _arrivals.Max(arrivals => arrivals[^1]);

    /// <summary>Waits until each of them has its first token.</summary>
    /// <exception cref="VllmException">One of them has failed.</exception>
    internal async Task BegunAsync()
    {
        List<Task> watched = [_begun.Task, .. _readers];
        while (!_begun.Task.IsCompleted)
        {
            // Who is done early does not keep the others from beginning; a failure is thrown here.
            Task first = await Task.WhenAny(watched).ConfigureAwait(false);
            await first.ConfigureAwait(false);
            watched.Remove(first);
        }
    }

    /// <summary>Waits until each of them has so many more tokens than now.</summary>
    /// <exception cref="VllmException">One of them has ended.</exception>
    internal async Task AdvanceAsync(int tokens)
    {
        int[] goals = [.. Enumerable.Range(0, _counts.Length).Select(stream => Volatile.Read(ref _counts[stream]) + tokens)];
        while (Enumerable.Range(0, goals.Length).Any(stream => Volatile.Read(ref _counts[stream]) < goals[stream]))
        {
            if (Array.Find(_readers, reader => reader.IsCompleted) is { } ended)
            {
                await ended.ConfigureAwait(false);
                throw new VllmException($"a decoding request has ended after its {_arrivals[0].Length} tokens, before the others were so far");
            }

            await Task.Delay(1, _stop.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Waits until all have all their tokens.</summary>
    /// <exception cref="VllmException">One of them has failed.</exception>
    internal Task EndAsync() => Task.WhenAll(_readers);

    /// <summary>
    /// Pauses in milliseconds between what a stream's reader got and what it got next, as far as they lie in the window of timestamps at
    /// least in part; tokens that reached it together have no pause between them. After <see cref="EndAsync"/>.
    /// </summary>
    internal IEnumerable<double> PausesBetween(long from, long to)
    {
        foreach (long[] arrivals in _arrivals)
        {
            for (int i = 1; i < arrivals.Length; i++)
            {
                if (arrivals[i] > arrivals[i - 1] && arrivals[i] > from && arrivals[i - 1] < to)
                {
                    yield return TimeProvider.System.GetElapsedTime(arrivals[i - 1], arrivals[i]).TotalMilliseconds;
                }
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        // How they ended was of interest only while they were needed.
        await Task.WhenAll(_readers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task ReadAsync(AsyncLlmEngine engine, Prompt prompt, int tokens, int stream)
    {
        SamplingParams streaming = TokenArrivals.ParametersFor(tokens) with { OutputKind = OutputKind.Delta };
        await foreach (RequestOutput output in engine.GenerateAsync(prompt, streaming, cancellationToken: _stop.Token).ConfigureAwait(false))
        {
            long now = TimeProvider.System.GetTimestamp();
            if (output.Error is { } error)
            {
                throw new VllmException($"a decoding request failed: {error}");
            }

            // A reader that comes late finds several tokens at once: they have reached it together.
            int count = _counts[stream] + output.Outputs[0].TokenIds.Count;
            if (_counts[stream] == 0 && count > 0 && Interlocked.Decrement(ref _notBegun) == 0)
            {
                _begun.SetResult();
            }

            _arrivals[stream].AsSpan(_counts[stream], count - _counts[stream]).Fill(now);
            Volatile.Write(ref _counts[stream], count);
        }
    }
}
