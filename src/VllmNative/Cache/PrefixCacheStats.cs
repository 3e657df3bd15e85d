namespace VllmNative.Cache;

/// <summary>What the prefix cache did so far, in tokens.</summary>
/// <param name="Queries">Tokens of requests that were looked up.</param>
/// <param name="Hits">Tokens of them that were found.</param>
internal readonly record struct PrefixCacheStats(long Queries, long Hits);
