namespace VllmNative.Cache.Disk;

/// <summary>The chains of recent paths: a conversation's next turn, or a common system prompt, is not hashed again. For one thread.</summary>
internal sealed class HashChainCache(BlockHash fingerprint, int blockSize)
{
    internal const int MaxChains = 16;

    // 4 bytes a token and 32 a block: 6 MiB with 16 tokens a block.
    internal const int MaxTokens = 1 << 20;

    // The last used is the last of the list.
    private readonly List<HashChain> _chains = [];
    private int _tokens;

    /// <summary>Tokens of all chains that are kept.</summary>
    internal int Tokens => _tokens;

    /// <summary>Chains that are kept.</summary>
    internal int Count => _chains.Count;

    /// <summary>A chain whose first blocks are those of the path; it may be longer than the path.</summary>
    internal HashChain Of(PrefixScope scope, ReadOnlySpan<int> path)
    {
        (int index, int common) = Closest(scope, path);
        HashChain? closest = index < 0 ? null : _chains[index];
        if (closest is not null && (common == path.Length || common == closest.Tokens.Length))
        {
            // It is used again, or a longer one takes its place.
            _chains.RemoveAt(index);
            _tokens -= closest.Tokens.Length;
        }

        HashChain chain = closest is not null && common == path.Length ? closest : Extend(closest, common, scope, path);
        Keep(chain);
        return chain;
    }

    private HashChain Extend(HashChain? known, int common, PrefixScope scope, ReadOnlySpan<int> path)
    {
        HashChain chain = new(scope, scope.Root(fingerprint), path, blockSize);
        if (known is not null)
        {
            chain.TakeOver(known, common / blockSize);
        }

        return chain;
    }

    private (int Index, int Common) Closest(PrefixScope scope, ReadOnlySpan<int> path)
    {
        (int Index, int Common) best = (-1, 0);
        for (int i = _chains.Count - 1; i >= 0 && best.Common < path.Length; i--)
        {
            int common = path.CommonPrefixLength(_chains[i].Tokens);
            if (common > best.Common && _chains[i].Scope == scope)
            {
                best = (i, common);
            }
        }

        return best;
    }

    private void Keep(HashChain chain)
    {
        _chains.Add(chain);
        _tokens += chain.Tokens.Length;
        while (_chains.Count > MaxChains || (_tokens > MaxTokens && _chains.Count > 1))
        {
            _tokens -= _chains[0].Tokens.Length;
            _chains.RemoveAt(0);
        }
    }
}
