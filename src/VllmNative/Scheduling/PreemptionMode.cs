namespace VllmNative.Scheduling;

/// <summary>What becomes of the K/V of a request that makes room for others.</summary>
public enum PreemptionMode
{
    /// <summary>What is cheaper by measured copy bandwidth and prefill speed; without swap space, recompute.</summary>
    Auto,

    /// <summary>It is dropped and computed again.</summary>
    Recompute,

    /// <summary>It is copied to the host and back; computed again where swap space is full.</summary>
    Swap,
}
