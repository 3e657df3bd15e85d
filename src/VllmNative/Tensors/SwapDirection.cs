namespace VllmNative.Tensors;

/// <summary>Which way blocks are swapped.</summary>
internal enum SwapDirection
{
    /// <summary>From the device's pool to swap space.</summary>
    Out,

    /// <summary>From swap space to the device's pool.</summary>
    In,
}
