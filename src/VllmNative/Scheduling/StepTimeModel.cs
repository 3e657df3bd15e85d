using System.Runtime.CompilerServices;
using VllmNative.Diagnostics;

namespace VllmNative.Scheduling;

/// <summary>
/// Predicts how long a step takes: linear in what it computes, learned from the steps as they return by recursive least squares
/// of the relative error, in which older steps count less and less. No clock: times are passed in. Allocates nothing.
/// </summary>
internal sealed class StepTimeModel
{
    private const int Features = 6;

    // About the last 200 steps count: long enough to average noise, short enough to follow a device that changes its clocks.
    private const double Forgetting = 0.995;

    // What is not seen any more would be forgotten down to noise. So each step also says, faintly, that the coefficients are as
    // they are; over all the steps remembered that weighs as much as one observation.
    private const double Belief = 1 - Forgetting;

    // Coefficients that came from outside weigh as much as this many observations.
    private const double GivenBelief = 20;

    private const double PowerRate = 0.05;

    // A step that took longer than this many times its prediction was disturbed by something else; shorter ones likewise.
    private const double MostDeviation = 2;

    private const int LeastDecodeSteps = 24;
    private const int LeastPrefillSteps = 8;

    // Sums over past steps of x x^T (lower triangle) and x y, where x are the features over the measured time, so that y is 1:
    // an error counts by its share of the step. This form of the recursion keeps its matrix positive definite by construction.
    private readonly double[] _information = new double[Features * Features];
    private readonly double[] _moment = new double[Features];
    private readonly double[] _coefficients = new double[Features];

    // Mean squares of the features over the steps that had them; 0 = never seen.
    private readonly double[] _power = new double[Features];
    private readonly bool _given;
    private long _prefillSteps;
    private long _decodeSteps;

    internal StepTimeModel()
    {
    }

    /// <summary>A model that knows already, and learns on.</summary>
    /// <exception cref="VllmException">A coefficient is not finite or below 0.</exception>
    internal StepTimeModel(StepTimeCoefficients coefficients)
    {
        _given = true;
        Set(0, coefficients.SecondsPerStep, nameof(coefficients.SecondsPerStep));
        Set(1, coefficients.SecondsPerPrefillStep, nameof(coefficients.SecondsPerPrefillStep));
        Set(2, coefficients.SecondsPerRow, nameof(coefficients.SecondsPerRow));
        Set(3, coefficients.SecondsPerPrefillToken, nameof(coefficients.SecondsPerPrefillToken));
        Set(4, coefficients.SecondsPerKvToken, nameof(coefficients.SecondsPerKvToken));
        Set(5, coefficients.SecondsPerAttentionToken, nameof(coefficients.SecondsPerAttentionToken));
    }

    /// <summary>Steps that it learned from.</summary>
    internal long Observations { get; private set; }

    /// <summary>
    /// Whether it has seen enough steps with prefill and enough with decodes, or was given coefficients, for predictions to be used. One
    /// step may count as both: prefill may never pause.
    /// </summary>
    internal bool Ready => _given || (_prefillSteps >= LeastPrefillSteps && _decodeSteps >= LeastDecodeSteps);

    /// <summary>A copy of what it knows now.</summary>
    internal StepTimeCoefficients Coefficients =>
        new(_coefficients[0], _coefficients[1], _coefficients[2], _coefficients[3], _coefficients[4], _coefficients[5]);

    /// <summary>Seconds that the step will take; more load never takes less. An empty load gives what every step costs.</summary>
    internal double Predict(in StepLoad load)
    {
        FeatureVector features = FeaturesOf(load);
        double seconds = 0;
        for (int i = 0; i < Features; i++)
        {
            seconds += _coefficients[i] * features[i];
        }

        return seconds;
    }

    /// <summary>Learns from a step that took <paramref name="seconds"/>; one without rows or without a sensible time is ignored.</summary>
    internal void Observe(in StepLoad load, double seconds)
    {
        if (load.Rows == 0 || !double.IsFinite(seconds) || seconds <= 0)
        {
            return;
        }

        if (Ready && Predict(load) is > 0 and var predicted)
        {
            seconds = Math.Clamp(seconds, predicted / MostDeviation, predicted * MostDeviation);
        }

        FeatureVector x = FeaturesOf(load);
        for (int i = 0; i < Features; i++)
        {
            x[i] /= seconds;
        }

        Accumulate(x);
        NonNegativeLeastSquares.Solve(_information, _moment, _coefficients);
        Observations++;
        _prefillSteps += load.PrefillTokens > 0 ? 1 : 0;
        _decodeSteps += load.DecodeRows > 0 ? 1 : 0;
    }

    private void Accumulate(FeatureVector x)
    {
        for (int i = 0; i < Features; i++)
        {
            int row = i * Features;
            for (int j = 0; j <= i; j++)
            {
                _information[row + j] = (_information[row + j] * Forgetting) + (x[i] * x[j]);
            }

            double belief = Belief;
            if (x[i] > 0)
            {
                belief = _power[i] > 0 ? Belief : _given ? GivenBelief : Belief;
                _power[i] = _power[i] > 0 ? _power[i] + (PowerRate * ((x[i] * x[i]) - _power[i])) : x[i] * x[i];
            }

            double believed = belief * _power[i];
            _information[row + i] += believed;
            _moment[i] = (_moment[i] * Forgetting) + x[i] + (believed * _coefficients[i]);
        }
    }

    private static FeatureVector FeaturesOf(in StepLoad load)
    {
        FeatureVector features = default;
        features[0] = 1;
        features[1] = load.PrefillTokens > 0 ? 1 : 0;
        features[2] = load.Rows;
        features[3] = load.PrefillTokens;
        features[4] = load.KvTokens;
        features[5] = load.AttentionTokens;
        return features;
    }

    private void Set(int index, double value, string name)
    {
        if (!double.IsFinite(value) || value < 0)
        {
            throw new VllmException(FormattableString.Invariant($"step time coefficients: {name} is {value}, expected a finite number of at least 0"));
        }

        _coefficients[index] = value;
    }

    [InlineArray(Features)]
    private struct FeatureVector
    {
        private double _first;
    }
}
