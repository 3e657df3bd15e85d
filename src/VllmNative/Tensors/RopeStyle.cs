using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>Which dimensions of a head turn together.</summary>
internal enum RopeStyle
{
    /// <summary>i and i + d/2.</summary>
    NeoX = NativeConstants.RopeNeox,

    /// <summary>2i and 2i + 1.</summary>
    Interleaved = NativeConstants.RopeInterleaved,
}
