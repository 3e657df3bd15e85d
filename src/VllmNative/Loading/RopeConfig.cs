namespace VllmNative.Loading;

/// <summary>Rotary position embedding, from <c>rope_parameters</c> or from <c>rope_theta</c> and <c>rope_scaling</c>.</summary>
public sealed record RopeConfig
{
    /// <summary>The scaling.</summary>
    public RopeType Type { get; init; }

    /// <summary>Base of the frequencies (<c>rope_theta</c>).</summary>
    public double Theta { get; init; } = 10_000;

    /// <summary>Context extension (<c>factor</c>); 1 for <see cref="RopeType.Default"/>.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths above original context / this are divided by the factor.</summary>
    public double LowFreqFactor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths below original context / this are kept.</summary>
    public double HighFreqFactor { get; init; } = 4;

    /// <summary>Context of the pretraining; null if the file does not say, then the model's own context counts.</summary>
    public int? OriginalMaxPositionEmbeddings { get; init; }

    /// <summary>YaRN: dimensions that rotate more often than this are kept.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: dimensions that rotate less often than this are interpolated fully.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: multiplies cos and sin; null to compute it from the factor.</summary>
    public double? AttentionFactor { get; init; }

    /// <summary>YaRN: weight of the factor's logarithm in the numerator of the attention factor.</summary>
    public double? Mscale { get; init; }

    /// <summary>YaRN: the same in the denominator; both must be stated and not zero to count.</summary>
    public double? MscaleAllDim { get; init; }

    /// <summary>YaRN: whether the ramp's bounds are rounded to whole dimensions.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>Share of the head dimension that is rotated.</summary>
    public double PartialRotaryFactor { get; init; } = 1;

    /// <summary>Dimensions of a head that are rotated, an even number.</summary>
    /// <param name="headDim">Dimensions of a head.</param>
    public int RotaryDim(int headDim) => (int)(headDim * PartialRotaryFactor);
}
