using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>
/// What distinguishes one decoder family from another; everything else is the same config-driven decoder. A model file
/// makes one of these from a config.
/// </summary>
internal sealed record DecoderSpec
{
    internal required ModelConfig Config { get; init; }

    /// <summary>Bias on the q, k and v projections.</summary>
    internal bool QkvBias { get; init; }

    /// <summary>Bias on the attention's output projection.</summary>
    internal bool OutputBias { get; init; }

    /// <summary>Bias on gate, up and down.</summary>
    internal bool MlpBias { get; init; }

    /// <summary>The MLP's function; set by the registry from the config.</summary>
    internal ActivationFunction Activation { get; init; }

    /// <summary>RMS norm on each head of q and k, before the rotation.</summary>
    internal bool QkNorm { get; init; }
}
