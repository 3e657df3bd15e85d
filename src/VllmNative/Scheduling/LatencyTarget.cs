using VllmNative.Diagnostics;

namespace VllmNative.Scheduling;

/// <summary>
/// How much prefill a step may hold so that the requests that decode in it see their next token within the target inter-token
/// latency. The model says what fits, and how far it was off lately says how far below the target to plan, so that fewer than one
/// step in a hundred misses it. No clock: times are passed in. Allocates nothing.
/// </summary>
internal sealed class LatencyTarget
{
    /// <summary>Prefill tokens that a step gets in any case, so that prompts always progress, even when decodes alone miss the target.</summary>
    internal const int MinPrefillTokens = 16;

    /// <summary>Most prefill tokens beside decodes while the model is not ready; every other step gets a quarter, so that it learns what a token costs.</summary>
    internal const int ColdPrefillTokens = 128;

    // Steps whose errors are remembered, of which one may have been larger than what is planned for: the next one is with a
    // chance of 2 in 321. While fewer were seen, errors of up to this are planned for, less with every step.
    private const int Window = 320;
    private const double FirstError = 1.25;

    // A step that something else held up says nothing about the model. If it missed the target for that alone, less prefill would not
    // have helped: it is the one that may be larger, and others like it ask for no margin. Two in a row are a device that got slower.
    private const double MostError = 2;
    private const double Unavoidable = double.PositiveInfinity;
    private const double MostFactor = 0.98;

    // The chance is a little below one in a hundred, so that over some hundred steps the 99th percentile falls on either side of what is
    // planned for; this much less prefill costs no throughput to speak of.
    private const double Slack = 1.005;

    private readonly double _targetSeconds;
    private readonly StepTimeModel _model;
    private readonly double[] _errors = new double[Window]; // what steps took over what was predicted, the oldest replaced first; or Unavoidable
    private int _oldest;
    private int _remembered;
    private long _observed;
    private bool _missed; // the last step, without a chance to keep the target

    // Times are not linear far from what was seen: a small chunk can hide behind the reading of the weights. So chunks grow by
    // doubling, each size measured before the next is used.
    private int _trustedTokens = ColdPrefillTokens;

    /// <param name="targetSeconds">The inter-token latency that decodes should see, in seconds.</param>
    /// <param name="model">Observed by the caller, after this is.</param>
    /// <exception cref="VllmException">The target is not finite or not above 0.</exception>
    internal LatencyTarget(double targetSeconds, StepTimeModel model)
    {
        if (!double.IsFinite(targetSeconds) || targetSeconds <= 0)
        {
            throw new VllmException(FormattableString.Invariant($"latency target: targetSeconds is {targetSeconds}, expected a finite number above 0"));
        }

        _targetSeconds = targetSeconds;
        _model = model;
    }

    /// <summary>The part of the target that steps are planned for.</summary>
    internal double Factor { get; private set; } = 1 / FirstError;

    /// <summary>
    /// Tokens that the next prefill may compute in this step: all that it wants when nothing decodes, otherwise what the target
    /// leaves, and at least <see cref="MinPrefillTokens"/> over all prefills of the step. 0 = prefills before it left too little to
    /// be worth a row.
    /// </summary>
    /// <param name="planned">What the step holds already: its decodes, and prefills before this one.</param>
    /// <param name="computed">Tokens of the request that are in the KV cache.</param>
    /// <param name="wanted">Tokens that it could compute in this step, 0 or more.</param>
    internal int PrefillTokens(in StepLoad planned, int computed, int wanted)
    {
        if (planned.DecodeRows == 0)
        {
            return wanted;
        }

        bool ready = _model.Ready;
        int least = Math.Clamp(MinPrefillTokens - planned.PrefillTokens, 0, wanted);
        int bound = ready ? _trustedTokens : _observed % 2 == 0 ? ColdPrefillTokens : ColdPrefillTokens / 4;
        int most = Math.Clamp(bound - planned.PrefillTokens, least, wanted);
        int tokens = ready ? LargestWithinBound(planned, computed, least, most) : most;
        return tokens < Math.Min(MinPrefillTokens, wanted) ? least : tokens;
    }

    /// <summary>A step returned after <paramref name="seconds"/>; the factor follows.</summary>
    internal void Observe(in StepLoad load, double seconds)
    {
        _observed++;
        _trustedTokens = Math.Max(_trustedTokens, 2 * load.PrefillTokens);

        // Steps of the fewest tokens count as well: else a small factor, which leaves no others, would stay for ever.
        if (load.DecodeRows == 0 || load.PrefillTokens == 0 || !_model.Ready)
        {
            return;
        }

        double predicted = _model.Predict(load);
        double avoidable = predicted - _model.Predict(load.DecodesAlone);
        bool missed = seconds > _targetSeconds + avoidable;
        _errors[_oldest] = missed && !_missed ? Unavoidable : Math.Min(seconds / predicted, MostError);
        _missed = missed;
        _oldest = (_oldest + 1) % Window;
        _remembered = Math.Min(_remembered + 1, Window);
        double first = FirstError - ((FirstError - 1) * _remembered / Window);
        Factor = Math.Min(MostFactor, 1 / Math.Max(first, Slack * ErrorToPlanFor()));
    }

    private double ErrorToPlanFor()
    {
        double largest = 0;
        double second = 0;
        bool missed = false;
        foreach (double error in _errors)
        {
            if (error == Unavoidable)
            {
                missed = true;
                continue;
            }

            second = Math.Max(second, Math.Min(error, largest));
            largest = Math.Max(largest, error);
        }

        return missed ? largest : second;
    }

    private double Bound => _targetSeconds * Factor;

    private int LargestWithinBound(in StepLoad planned, int computed, int least, int most)
    {
        double bound = Bound;
        while (least < most)
        {
            int tokens = least + ((most - least + 1) / 2);
            if (_model.Predict(planned.With(tokens, computed + tokens)) <= bound)
            {
                least = tokens;
            }
            else
            {
                most = tokens - 1;
            }
        }

        return least;
    }
}
