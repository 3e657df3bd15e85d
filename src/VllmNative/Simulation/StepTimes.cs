using System.Numerics;
using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Scheduling;

namespace VllmNative.Simulation;

/// <summary>
/// How long steps take, as the steps of a trace did: a <see cref="StepTimeModel"/> that has learned from them says what is usual, and how
/// far they lay from that is dealt out like cards, from a deck that was shuffled once: one of steps without prefill, and one for each doubling
/// of prefill tokens, since no law is quite linear. So the mean is right, and so are the slow ones.
/// </summary>
internal sealed class StepTimes
{
    private const int Passes = 2;
    private const int Seed = 1;

    /// <summary>How many decks there are.</summary>
    internal const int Decks = 33;

    // What a step took beyond this many times what is usual had nothing to do with its size: a compiler or another process was at work.
    private const double MostRatio = 3;

    private readonly StepTimeModel _model = new();
    private readonly Deviation[][] _decks; // where there was no such step, the nearest one's

    /// <exception cref="VllmException">The trace has no step to learn from.</exception>
    internal StepTimes(RecordedTrace trace)
    {
        RecordedStep[] steps = [.. trace.Steps.Where(step => step is { Failed: false, Seconds: > 0, Load.Rows: > 0 })];
        if (steps.Length == 0)
        {
            throw new VllmException("the trace has no step that says how long steps take");
        }

        // The model forgets: in their own order only the last steps would count.
        RecordedStep[] shuffled = [.. steps];
        var random = new Random(Seed);
        for (int pass = 0; pass < Passes; pass++)
        {
            random.Shuffle(shuffled);
            foreach (RecordedStep step in shuffled)
            {
                _model.Observe(step.Load, step.Seconds);
            }
        }

        ILookup<int, RecordedStep> seen = shuffled.ToLookup(step => DeckOf(step.Load));
        _decks = [.. Enumerable.Range(0, Decks).Select(deck => DeviationsOf(seen.MinBy(steps => Math.Abs(steps.Key - deck))!))];
        HostSeconds = HostSecondsOf(steps);
        SwapBytesPerSecond = SwapRateOf(trace);
    }

    /// <summary>What the engine thread takes between the end of a step and the next submission, where no other step hides it.</summary>
    internal double HostSeconds { get; }

    internal double SwapBytesPerSecond { get; }

    /// <summary>Which deck a step's deviation is dealt from.</summary>
    internal static int DeckOf(in StepLoad load) => load.PrefillTokens == 0 ? 0 : 1 + BitOperations.Log2((uint)load.PrefillTokens);

    /// <summary>A step's time, in seconds.</summary>
    /// <param name="load">What it computes.</param>
    /// <param name="number">How many steps of this deck ran before it.</param>
    internal double Of(in StepLoad load, long number)
    {
        if (load.Rows == 0)
        {
            return 0;
        }

        Deviation[] deck = _decks[DeckOf(load)];
        Deviation drawn = deck.Length == 0 ? new Deviation(1, 0) : deck[number % deck.Length];
        return (_model.Predict(load) * drawn.Ratio) + drawn.Stall;
    }

    private Deviation[] DeviationsOf(IEnumerable<RecordedStep> steps) =>
        [.. steps.Select(step => (step.Seconds, Usual: _model.Predict(step.Load)))
            .Where(step => step.Usual > 0)
            .Select(step => new Deviation(Math.Min(step.Seconds / step.Usual, MostRatio), Math.Max(step.Seconds - (MostRatio * step.Usual), 0)))];

    // Most steps follow another one that they waited for; those that followed a pause are the exception.
    private static double HostSecondsOf(RecordedStep[] steps)
    {
        double[] gaps = [.. steps.Zip(steps.Skip(1), (before, step) => (before, step))
            .Where(pair => pair.step.Id == pair.before.Id + 1 && pair.before.Load.Rows > 0)
            .Select(pair => Math.Max(pair.step.Submitted - pair.before.Ended, 0)).Order()];
        return gaps.Length == 0 ? 0 : gaps[gaps.Length / 2];
    }

    private static double SwapRateOf(RecordedTrace trace)
    {
        double bytes = trace.Steps.Sum(step => (double)step.SwapBytes);
        double seconds = trace.Steps.Sum(step => step.SwapSeconds);
        return bytes > 0 && seconds > 0 ? bytes / seconds : trace.Header.AssumedSwapBandwidth;
    }

    // How far a step lay from what is usual for its load: a factor, and seconds that have nothing to do with the load.
    private readonly record struct Deviation(double Ratio, double Stall);
}
