using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Bench.Serving;

/// <summary>
/// How fast KV blocks are swapped as requests that grow side by side leave them, block by block in turns, and after Defragment has put
/// each request's together. A prompt that goes first has half of the requests swapped out, and in again when it is done.
/// </summary>
internal sealed class DefragmentBench
{
    private static readonly RequestScheduling First = new() { Priority = -1000 };

    private readonly DefragmentSettings _settings;
    private readonly ServingContext _context;
    private readonly CancellationToken _cancellation;
    private int _prompts;

    private DefragmentBench(DefragmentSettings settings, ServingContext context, CancellationToken cancellation) =>
        (_settings, _context, _cancellation) = (settings, context, cancellation);

    /// <param name="settings">What to measure.</param>
    /// <param name="run">Gets the figures.</param>
    /// <param name="cancellation">Ends the run.</param>
    internal static async Task<BenchReport> RunAsync(DefragmentSettings settings, BenchRun run, CancellationToken cancellation)
    {
        (ModelConfig config, _) = ServingContext.Describe(settings.EngineOptionsFor());
        using ServingContext context = ServingContext.Open(settings.Swapping(config));
        var bench = new DefragmentBench(settings, context, cancellation);
        // Host memory is touched for the first time.
        await bench.RoundAsync(defragments: false).ConfigureAwait(false);
        Round[] before = await bench.RoundsAsync(defragments: false).ConfigureAwait(false);
        Round[] after = await bench.RoundsAsync(defragments: true).ConfigureAwait(false);

        string where = $"{context.Model}, {settings.Streams} requests of {settings.Context} and {settings.Output} tokens, blocks of {context.Engine.Memory.BlockSize}";
        var fragmented = new Distribution(before.Select(round => round.BytesPerSecond / 1e9));
        var together = new Distribution(after.Select(round => round.BytesPerSecond / 1e9));
        run.Add(BenchEntry.Of($"swap out and in, fragmented, {where}", fragmented, "GB/s", Better.Higher).AsHeadline());
        run.Add(BenchEntry.Of($"swap out and in, after Defragment, {where}", together, "GB/s", Better.Higher).AsHeadline());
        run.Add(BenchEntry.Of($"swap out and in, after over before Defragment, {where}", together.Median / fragmented.Median, "x", Better.Higher));
        run.Add(BenchEntry.Of($"bytes swapped in a round, {where}", new Distribution(after.Select(round => (double)round.Bytes / (1 << 20))), "MiB", Better.Higher));
        run.Add(BenchEntry.Of($"Defragment while all decode, {where}", new Distribution(after.Select(round => round.DefragmentMilliseconds)), "ms", Better.Lower).AsHeadline());
        run.Add(BenchEntry.Of($"blocks moved by Defragment, {where}", new Distribution(after.Select(round => (double)round.Moved)), "blocks", Better.Higher));
        return run.Report(context.Engine.Capabilities.Device);
    }

    private async Task<Round[]> RoundsAsync(bool defragments)
    {
        var rounds = new Round[_settings.Repeats];
        for (int i = 0; i < rounds.Length; i++)
        {
            rounds[i] = await RoundAsync(defragments).ConfigureAwait(false);
        }

        return rounds;
    }

    private async Task<Round> RoundAsync(bool defragments)
    {
        Prompt[] prompts = [.. Enumerable.Range(0, _settings.Streams).Select(_ => NextPrompt(_settings.Context))];
        var streams = new DecodeStreams(_context.Engine, prompts, _settings.StreamTokens, _cancellation);
        await using (streams.ConfigureAwait(false))
        {
            await streams.AdvanceAsync(_settings.Output).ConfigureAwait(false);
            long start = TimeProvider.System.GetTimestamp();
            int moved = defragments ? await _context.Engine.DefragmentAsync().ConfigureAwait(false) : 0;
            double milliseconds = TimeProvider.System.GetElapsedTime(start).TotalMilliseconds;

            SwapBandwidth swaps = _context.Engine.Core.Scheduler.SwapBandwidth;
            (long bytes, double seconds) = (swaps.TotalBytes, swaps.TotalSeconds);
            MemoryStats memory = _context.Engine.Memory;
            int wanted = memory.FreeBlocks + (memory.AllocatedBlocks / 2);
            Prompt prompt = NextPrompt(Math.Min(wanted, memory.TotalBlocks) * memory.BlockSize - 1);
            await TokenArrivals.ReadAsync(_context.Engine, prompt, 1, null, _cancellation, First).ConfigureAwait(false);
            // Who was swapped out decodes again.
            await streams.AdvanceAsync(2).ConfigureAwait(false);
            (bytes, seconds) = (swaps.TotalBytes - bytes, swaps.TotalSeconds - seconds);
            return bytes > 0
                ? new Round(bytes, bytes / seconds, milliseconds, moved)
                : throw new VllmException("nothing was swapped; give more with --streams or --output, or more --swap-space");
        }
    }

    private Prompt NextPrompt(int tokens) => RandomPrompts.Create(_prompts++, tokens, _context.Config.VocabSize);

    /// <param name="Bytes">Swapped, out and in.</param>
    /// <param name="BytesPerSecond">By the device's own clock, while it copied.</param>
    /// <param name="DefragmentMilliseconds">From the call to its answer; the steps in flight come first.</param>
    /// <param name="Moved">Blocks moved.</param>
    private sealed record Round(long Bytes, double BytesPerSecond, double DefragmentMilliseconds, int Moved);
}
