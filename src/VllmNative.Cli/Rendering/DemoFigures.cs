using VllmNative.Cli.Commands;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Cli.Rendering;

/// <summary>How fast the demo was.</summary>
/// <param name="Prompts">Requests that ran together.</param>
/// <param name="Tokens">Tokens generated, all prompts.</param>
/// <param name="Wall">First request in to last token out.</param>
/// <param name="MeanTtft">Time to first token, mean.</param>
/// <param name="MedianTtft">Time to first token, p50.</param>
/// <param name="MeanTpot">Time per output token after the first, mean over requests that have a second.</param>
/// <param name="Memory">The KV cache at the end, its peak included.</param>
internal sealed record DemoFigures(
    int Prompts, int Tokens, TimeSpan Wall, TimeSpan MeanTtft, TimeSpan MedianTtft, TimeSpan MeanTpot, MemoryStats Memory)
{
    internal static DemoFigures Of(IReadOnlyList<DemoJob> jobs, MemoryStats memory)
    {
        (RequestTimings Timings, int Tokens)[] done = [.. jobs.Where(job => job.Latest is not null).Select(job => (job.Latest!.Timings, job.Tokens))];
        TimeSpan wall = done.Length == 0
            ? TimeSpan.Zero
            : TimeProvider.System.GetElapsedTime(done.Min(request => request.Timings.Arrived), done.Max(request => request.Timings.LastToken));
        TimeSpan[] first = [.. done.Select(request => request.Timings.TimeToFirstToken).Order()];
        TimeSpan[] later = [.. done.Where(request => request.Tokens > 1).Select(request => request.Timings.TimePerOutputToken(request.Tokens))];
        return new DemoFigures(done.Length, done.Sum(request => request.Tokens), wall, Mean(first), Median(first), Mean(later), memory);
    }

    private static TimeSpan Mean(TimeSpan[] times) => times.Length == 0 ? TimeSpan.Zero : TimeSpan.FromTicks((long)times.Average(time => time.Ticks));

    private static TimeSpan Median(TimeSpan[] sorted) =>
        sorted.Length == 0 ? TimeSpan.Zero : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
}
