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
}
