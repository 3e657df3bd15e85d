namespace VllmNative.Loading;

/// <summary>How rotary frequencies are scaled beyond the pretrained context.</summary>
public enum RopeType
{
    /// <summary>Not scaled.</summary>
    Default,

    /// <summary>All frequencies divided by the factor.</summary>
    Linear,

    /// <summary>Long wavelengths divided by the factor, short ones kept, a smooth passage between (Llama 3.1).</summary>
    Llama3,

    /// <summary>Interpolation by number of rotations, with a temperature on attention (YaRN).</summary>
    Yarn,
}
