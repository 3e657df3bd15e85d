using VllmNative.Diagnostics;

namespace VllmNative.Scheduling;

/// <summary>
/// How much prefill a step may hold so that the requests that decode in it see their next token within the target inter-token
/// latency. The model says what fits; feedback says how far below the target to plan, so that fewer than one step in a hundred
/// misses it. No clock: times are passed in. Allocates nothing.
/// </summary>
internal sealed class LatencyTarget
{
    /// <summary>Prefill tokens that a step gets in any case, so that prompts always progress, even when decodes alone miss the target.</summary>
    internal const int MinPrefillTokens = 16;

    /// <summary>Most prefill tokens beside decodes while the model is not ready.</summary>
    internal const int ColdPrefillTokens = 128;

    // While the model learns, its errors are largest.
    private const double FirstFactor = 0.85;
    private const double LeastFactor = 0.5;
    private const double MostFactor = 0.98;

    // A miss lowers the factor as much as about a hundred and fifty steps within the target raise it, and none raises it while
    // misses are frequent: that settles at about one miss in two hundred.
    private const double MissStep = 0.97;
    private const double HitStep = 1.0002;
    private const double GoalMissRate = 0.005;
    private const double MissRateDecay = 0.005;

    // Steps predicted to take less than this part of what was allowed say nothing about whether that was too much.
    private const double FullStep = 0.9;

    private readonly double _targetSeconds;
    private readonly StepTimeModel _model;

    // Times are not linear far from what was seen: a small chunk can hide behind the reading of the weights. So chunks grow by
    // doubling, each size measured before the next is used.
    private int _trustedTokens = ColdPrefillTokens;

    /// <param name="targetSeconds">The inter-token latency that decodes should see, in seconds.</param>
    /// <param name="model">Observed by the caller, before this is.</param>
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
    internal double Factor { get; private set; } = FirstFactor;

    /// <summary>Share of misses among recent steps that were filled to the bound.</summary>
    internal double MissRate { get; private set; }

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
        int most = Math.Clamp((ready ? _trustedTokens : ColdPrefillTokens) - planned.PrefillTokens, least, wanted);
        int tokens = ready ? LargestWithinBound(planned, computed, least, most) : most;
        return tokens < Math.Min(MinPrefillTokens, wanted) ? least : tokens;
    }

    /// <summary>A step returned after <paramref name="seconds"/>; the factor follows.</summary>
    internal void Observe(in StepLoad load, double seconds)
    {
        _trustedTokens = Math.Max(_trustedTokens, 2 * load.PrefillTokens);

        // Less prefill was not possible, or the model did not decide how much.
        if (load.DecodeRows == 0 || load.PrefillTokens <= MinPrefillTokens || !_model.Ready)
        {
            return;
        }

        bool miss = seconds > _targetSeconds;
        if (!miss && _model.Predict(load) < FullStep * Bound)
        {
            return;
        }

        MissRate += ((miss ? 1 : 0) - MissRate) * MissRateDecay;
        if (miss)
        {
            Factor = Math.Max(LeastFactor, Factor * MissStep);
        }
        else if (MissRate < GoalMissRate)
        {
            Factor = Math.Min(MostFactor, Factor * HitStep);
        }
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
