using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The function of a gated MLP.</summary>
internal enum ActivationFunction
{
    Silu = NativeConstants.ActivationSilu,
    GeluTanh = NativeConstants.ActivationGeluTanh,

    /// <summary>Exact, by erf.</summary>
    Gelu = NativeConstants.ActivationGelu,
}
