namespace VllmNative.Cache.Eviction;

/// <summary>The eviction policies by name.</summary>
internal static class EvictionPolicies
{
    internal const string Default = "lru";

    internal static IReadOnlyList<string> Names { get; } = [Default, "lfu", "length-aware"];

    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="blocks">Blocks of the pool.</param>
    internal static EvictionOrder Create(string name, int blocks) => name switch
    {
        Default => new LruEviction(blocks),
        "lfu" => new LfuEviction(blocks),
        "length-aware" => new LengthAwareEviction(blocks),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "expected one of " + string.Join(", ", Names)),
    };
}
