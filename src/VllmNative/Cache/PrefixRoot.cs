namespace VllmNative.Cache;

/// <summary>
/// Where sequences begin that may share blocks: all requests with the same extra key. Its number is the parent of their first
/// blocks, so that sequences of different keys never meet.
/// </summary>
internal sealed class PrefixRoot(PrefixKey key, long id)
{
    internal PrefixKey Key => key;

    internal long Id => id;

    /// <summary>Requests and first blocks that refer to it; at zero it is forgotten.</summary>
    internal int Users { get; set; }
}

/// <summary>What K/V depends on beside the tokens; fields are compared one by one, so that no adapter can be taken for a salt.</summary>
/// <param name="Adapter">Load generation of the adapter; 0 = none.</param>
/// <param name="Salt">The request's cache salt; null = none.</param>
internal readonly record struct PrefixKey(long Adapter, string? Salt);
