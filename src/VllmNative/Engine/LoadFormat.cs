namespace VllmNative.Engine;

/// <summary>Where weights come from.</summary>
public enum LoadFormat
{
    /// <summary>The checkpoint's safetensors files.</summary>
    Safetensors,

    /// <summary>Random values, filled on the device: for benchmarks.</summary>
    Dummy,
}
