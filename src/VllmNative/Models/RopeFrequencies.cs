using VllmNative.Loading;

namespace VllmNative.Models;

/// <summary>
/// Inverse frequencies of rotary embeddings: entry i turns dimensions i and i + rotaryDim/2 by position * entry.
/// The arithmetic is single precision in the order of the reference implementation, powers are exact to the last bit.
/// </summary>
internal static class RopeFrequencies
{
    /// <summary>Computes rotaryDim / 2 inverse frequencies.</summary>
    /// <param name="rope">The settings.</param>
    /// <param name="rotaryDim">Dimensions of a head that are rotated; even.</param>
    /// <param name="maxPositionEmbeddings">The model's context, which counts where the pretraining's is not stated.</param>
    /// <param name="attentionScaling">Factor on cos and sin.</param>
    public static float[] Compute(RopeConfig rope, int rotaryDim, int maxPositionEmbeddings, out float attentionScaling)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rotaryDim);
        ArgumentOutOfRangeException.ThrowIfNotEqual(rotaryDim % 2, 0, nameof(rotaryDim));
        int originalContext = rope.OriginalMaxPositionEmbeddings ?? maxPositionEmbeddings;
        float[] powers = Powers(rope.Theta, rotaryDim);
        attentionScaling = 1;
        switch (rope.Type)
        {
            case RopeType.Default:
                return Array.ConvertAll(powers, static power => 1 / power);
            case RopeType.Linear:
                float factor = (float)rope.Factor;
                return Array.ConvertAll(powers, power => 1 / power / factor);
            case RopeType.Llama3:
                return Array.ConvertAll(powers, power => Llama3(rope, 1 / power, originalContext));
            case RopeType.Yarn:
                attentionScaling = (float)YarnAttentionFactor(rope);
                return Yarn(rope, powers, originalContext);
            default:
                throw new ArgumentOutOfRangeException(nameof(rope), rope.Type, "Unknown rope type.");
        }
    }

    /// <summary>theta ^ (2i / dim).</summary>
    private static float[] Powers(double theta, int dim)
    {
        float[] powers = new float[dim / 2];
        for (int i = 0; i < powers.Length; i++)
        {
            powers[i] = (float)Math.Pow((float)theta, 2f * i / dim);
        }

        return powers;
    }

    /// <summary>Keeps short wavelengths, divides long ones by the factor, and blends between the two bounds.</summary>
    private static float Llama3(RopeConfig rope, float frequency, int originalContext)
    {
        float wavelength = (float)(2 * Math.PI) / frequency;
        if (wavelength > (float)(originalContext / rope.LowFreqFactor))
        {
            return frequency / (float)rope.Factor;
        }

        if (wavelength < (float)(originalContext / rope.HighFreqFactor))
        {
            return frequency;
        }

        float smooth = ((originalContext / wavelength) - (float)rope.LowFreqFactor) / (float)(rope.HighFreqFactor - rope.LowFreqFactor);
        return ((1 - smooth) * frequency / (float)rope.Factor) + (smooth * frequency);
    }

    /// <summary>A linear ramp over the pairs, from kept (many rotations in the original context) to divided by the factor (few).</summary>
    private static float[] Yarn(RopeConfig rope, float[] powers, int originalContext)
    {
        int dim = powers.Length * 2;
        double low = PairThatRotates(rope.BetaFast, rope.Theta, dim, originalContext);
        double high = PairThatRotates(rope.BetaSlow, rope.Theta, dim, originalContext);
        if (rope.Truncate)
        {
            low = Math.Floor(low);
            high = Math.Ceiling(high);
        }

        low = Math.Max(low, 0);
        high = Math.Min(high, dim - 1);
        if (low == high)
        {
            high += 0.001;
        }

        float[] frequencies = new float[powers.Length];
        for (int i = 0; i < frequencies.Length; i++)
        {
            float keep = 1 - Math.Clamp((i - (float)low) / (float)(high - low), 0, 1);
            float kept = 1 / powers[i];
            float interpolated = 1 / ((float)rope.Factor * powers[i]);
            frequencies[i] = (interpolated * (1 - keep)) + (kept * keep);
        }

        return frequencies;
    }

    /// <summary>The fractional pair index that makes this many full turns over the context.</summary>
    private static double PairThatRotates(double turns, double theta, int dim, int context) =>
        dim * Math.Log(context / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));

    private static double YarnAttentionFactor(RopeConfig rope)
    {
        if (rope.AttentionFactor is { } stated)
        {
            return stated;
        }

        return rope.Mscale is { } mscale && rope.MscaleAllDim is { } allDim && mscale != 0 && allDim != 0
            ? Scale(rope.Factor, mscale) / Scale(rope.Factor, allDim)
            : Scale(rope.Factor, 1);
    }

    private static double Scale(double factor, double mscale) => factor <= 1 ? 1 : (0.1 * mscale * Math.Log(factor)) + 1;
}
