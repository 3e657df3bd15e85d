namespace VllmNative.Engine;

/// <summary>Element type of the KV cache.</summary>
public enum KvCacheDtype
{
    /// <summary>The model's.</summary>
    Auto,

    /// <summary>32-bit.</summary>
    Float32,

    /// <summary>IEEE half.</summary>
    Float16,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>fp8_e4m3: half the bytes of a 16-bit cache, with the checkpoint's scales where it brings any.</summary>
    Fp8,
}
