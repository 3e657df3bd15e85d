namespace VllmNative.Engine;

/// <summary>Element type of weights and activations.</summary>
public enum ModelDtype
{
    /// <summary>The checkpoint's own; float32 where it states none.</summary>
    Auto,

    /// <summary>32-bit.</summary>
    Float32,

    /// <summary>IEEE half.</summary>
    Float16,

    /// <summary>bfloat16.</summary>
    BFloat16,
}
