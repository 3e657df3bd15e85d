using System.Collections.Concurrent;
using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>
/// Lets requests share the blocks of their common beginnings. Only full blocks are known, each from the moment at which the
/// step that fills it is scheduled: the device computes steps in order, so a later one finds it filled.
/// </summary>
internal sealed class PrefixCache
{
    private readonly BlockPool _pool;
    private readonly PrefixIndex _index;
    private readonly int _blockSize;
    private readonly ConcurrentDictionary<PrefixKey, PrefixRoot> _roots = [];
    private readonly Dictionary<long, PrefixRoot> _rootsById = [];
    private int _resets;
    private long _queries;
    private long _hits;

    /// <param name="pool">The device's blocks.</param>
    /// <param name="hostBlocks">Blocks of the host's tier.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    internal PrefixCache(BlockPool pool, int hostBlocks, int blockSize)
    {
        _pool = pool;
        _index = new PrefixIndex(pool.Total, hostBlocks, blockSize);
        _blockSize = blockSize;
    }

    internal PrefixIndex Index => _index;

    /// <summary>Beginnings that requests or blocks refer to; for tests.</summary>
    internal int Roots => _roots.Count;

    internal PrefixCacheStats Stats => new(Volatile.Read(ref _queries), Volatile.Read(ref _hits));

    /// <summary>
    /// Hashes a new request's prompt and looks its blocks up. On the caller's thread, so that the engine's has only to see whether what was
    /// found is still there.
    /// </summary>
    internal void Prepare(Request request)
    {
        ReadOnlySpan<int> tokens = request.Tokens.Span[..request.PromptLength];
        for (int block = 0; (block + 1) * _blockSize <= tokens.Length; block++)
        {
            request.BlockHashes[block] = TokenHash.Of(tokens.Slice(block * _blockSize, _blockSize));
            request.HashedBlocks = block + 1;
        }

        // Further completions go on from the first one's blocks.
        if (request.Parent is null && !request.Scheduling.SkipReadingPrefixCache && _roots.TryGetValue(KeyOf(request), out PrefixRoot? root))
        {
            request.Foreseen = PrefixPath.Find(_index, root.Id, tokens, request.BlockHashes, _blockSize);
        }
    }

    /// <summary>Finds out where the request's sequence begins.</summary>
    internal void Enter(Request request)
    {
        PrefixKey key = KeyOf(request);
        if (!_roots.TryGetValue(key, out PrefixRoot? root))
        {
            root = new PrefixRoot(key, _index.NewId());
            _roots[key] = root;
            _rootsById.Add(root.Id, root);
        }

        root.Users++;
        request.PrefixRoot = root.Id;
        Restart(request);
    }

    /// <summary>The request has ended.</summary>
    internal void Leave(Request request)
    {
        PrefixRoot root = _rootsById[request.PrefixRoot];
        root.Users--;
        request.PrefixRoot = 0;
        ForgetIfUnused(root);
    }

    /// <summary>The request holds no block any more.</summary>
    internal static void Restart(Request request) => (request.NodeCount, request.LastNode, request.LastNodeId) = (0, PrefixIndex.None, request.PrefixRoot);

    /// <summary>Finds the longest known beginning of a request. At least one token is left to compute, since its logits are wanted.</summary>
    /// <param name="request">It holds no blocks.</param>
    /// <param name="nodes">Receives the nodes, in order.</param>
    /// <returns>How many.</returns>
    internal int Match(Request request, int[] nodes)
    {
        int most = Math.Min((request.Length - 1) / _blockSize, nodes.Length);
        ReadOnlySpan<int> tokens = request.Tokens.Span;
        int found = request.Foreseen is { } foreseen ? PrefixPath.CopyTo(foreseen, nodes.AsSpan(0, most), _index, request.PrefixRoot) : 0;
        long parent = found == 0 ? request.PrefixRoot : _index.IdOf(nodes[found - 1]);
        while (found < most)
        {
            int node = _index.Find(parent, HashOf(request, found), tokens.Slice(found * _blockSize, _blockSize));
            if (node == PrefixIndex.None)
            {
                break;
            }

            nodes[found++] = node;
            parent = _index.IdOf(node);
        }

        return found;
    }

    /// <summary>Counts a lookup, once for each request.</summary>
    internal void Count(int queried, int found)
    {
        Volatile.Write(ref _queries, _queries + queried);
        Volatile.Write(ref _hits, _hits + found);
    }

    /// <summary>The request has no K/V yet: what it takes from the cache or computes from here on is no older than the last reset.</summary>
    internal void Begin(Request request) => request.BegunAtReset = _resets;

    /// <summary>Makes the request's full blocks known, as far as their tokens are known and steps that fill them are scheduled.</summary>
    internal void Register(Request request)
    {
        if (request.BegunAtReset != _resets)
        {
            return;
        }

        int full = Math.Min(request.Scheduled, request.Length) / _blockSize;
        while (request.NodeCount < full)
        {
            int block = request.NodeCount;
            ReadOnlySpan<int> tokens = request.Tokens.Span.Slice(block * _blockSize, _blockSize);
            ulong hash = HashOf(request, block);
            int node = _index.Find(request.LastNodeId, hash, tokens);
            bool indexed = _pool.IsIndexed(request.Blocks[block]);
            if (node == PrefixIndex.None && indexed)
            {
                // The block is known as something else: what follows stays unknown.
                return;
            }

            if (node == PrefixIndex.None)
            {
                node = _index.Add(request.LastNodeId, hash, tokens, request.LastNode, block == 0 ? _rootsById[request.PrefixRoot] : null);
            }

            // Whoever computes the same at the same time keeps a block of its own, which the index does not know.
            if (!indexed && _index.DeviceBlockOf(node) == PrefixIndex.None)
            {
                _index.SetDeviceBlock(node, request.Blocks[block]);
                _pool.SetIndexed(request.Blocks[block]);
            }

            (request.LastNode, request.LastNodeId, request.NodeCount) = (node, _index.IdOf(node), block + 1);
        }
    }

    /// <summary>Adds the node of a request's block behind another one; give it a block next.</summary>
    /// <param name="request">Whose tokens.</param>
    /// <param name="parent">The node before; -1 for a first block.</param>
    /// <param name="block">Index of the block.</param>
    internal int AddBehind(Request request, int parent, int block)
    {
        long parentId = parent == PrefixIndex.None ? request.PrefixRoot : _index.IdOf(parent);
        ReadOnlySpan<int> tokens = request.Tokens.Span.Slice(block * _blockSize, _blockSize);
        return _index.Add(parentId, HashOf(request, block), tokens, parent, parent == PrefixIndex.None ? _rootsById[request.PrefixRoot] : null);
    }

    /// <summary>The pool has given a cached block to somebody else.</summary>
    internal void Evicted(int block) => ForgetIfUnused(_index.DropDeviceBlock(block));

    /// <summary>What the block holds is not what the index says, or nobody shall find it any more.</summary>
    internal void Forget(int block)
    {
        if (_pool.IsIndexed(block))
        {
            _pool.ClearIndexed(block);
            ForgetIfUnused(_index.DropDeviceBlock(block));
        }
    }

    /// <summary>Forgets all device blocks. Requests keep theirs, and what they fill stays unknown until they are computed again.</summary>
    internal void Reset()
    {
        _resets++;
        for (int block = 1; block < _pool.Total; block++)
        {
            Forget(block);
        }
    }

    internal void ForgetIfUnused(PrefixRoot? root)
    {
        if (root is { Users: 0 })
        {
            _roots.TryRemove(root.Key, out _);
            _rootsById.Remove(root.Id);
        }
    }

    private static PrefixKey KeyOf(Request request) => new(0, request.Scheduling.CacheSalt);

    private ulong HashOf(Request request, int block)
    {
        while (request.HashedBlocks <= block)
        {
            int next = request.HashedBlocks++;
            request.BlockHashes[next] = TokenHash.Of(request.Tokens.Span.Slice(next * _blockSize, _blockSize));
        }

        return request.BlockHashes[block];
    }
}
