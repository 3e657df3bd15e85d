namespace VllmNative.Cache.Disk;

/// <summary>Who may share a prefix besides having its tokens: only requests with the same adapter and the same salt.</summary>
/// <param name="AdapterHash">SHA-256 of the adapter's files; null for the model alone.</param>
/// <param name="CacheSalt">The request's cache salt; null and empty are different scopes.</param>
internal sealed record PrefixScope(byte[]? AdapterHash, string? CacheSalt)
{
    private const byte FingerprintTag = 0;
    private const byte AdapterTag = 1;
    private const byte SaltTag = 2;

    /// <summary>The model alone, no salt.</summary>
    internal static readonly PrefixScope Shared = new(null, null);

    /// <summary>The hash that stands before a path's first block.</summary>
    internal BlockHash Root(in BlockHash fingerprint)
    {
        Span<byte> bytes = stackalloc byte[BlockHash.Size];
        fingerprint.CopyTo(bytes);
        using TaggedHash hash = new();
        hash.Add(FingerprintTag, bytes);
        if (AdapterHash is not null)
        {
            hash.Add(AdapterTag, AdapterHash);
        }

        if (CacheSalt is not null)
        {
            hash.Add(SaltTag, CacheSalt);
        }

        return hash.Finish();
    }

    // A record compares arrays by reference.
    public bool Equals(PrefixScope? other) =>
        other is not null
        && CacheSalt == other.CacheSalt
        && AdapterHash is null == other.AdapterHash is null
        && AdapterHash.AsSpan().SequenceEqual(other.AdapterHash);

    public override int GetHashCode()
    {
        HashCode code = default;
        code.Add(CacheSalt, StringComparer.Ordinal);
        code.AddBytes(AdapterHash);
        return code.ToHashCode();
    }
}
