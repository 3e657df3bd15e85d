using System.Diagnostics;
using VllmNative.Cache.Eviction;

namespace VllmNative.Cache;

/// <summary>
/// The KV blocks of one device as numbers: who is free, who is cached, who is used and by how many. A block is an int; its state lies in
/// arrays. Used blocks have owners; cached ones have none, but the prefix index can still find them; free ones are neither.
/// Free blocks are taken first, then cold ones, which have a copy elsewhere, then other cached ones in the order of the eviction policy. Block 0 is the null block: never
/// handed out, the target of padded rows.
/// </summary>
internal sealed class BlockPool
{
    internal const int NullBlock = 0;

    private readonly int[] _references;
    private readonly bool[] _indexed;
    private readonly bool[] _isCold;
    private readonly BlockList _free;
    private readonly BlockList _cold;
    private readonly EvictionOrder _cached;
    private int _freeCount;
    private int _cachedCount;

    /// <param name="total">Blocks, the null block included; at least 2.</param>
    /// <param name="eviction">One of <see cref="EvictionPolicies.Names"/>.</param>
    internal BlockPool(int total, string eviction = EvictionPolicies.Default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 2);
        _references = new int[total];
        _indexed = new bool[total];
        _isCold = new bool[total];
        _free = new BlockList(total);
        _cold = new BlockList(total);
        _cached = EvictionPolicies.Create(eviction, total);
        _references[NullBlock] = 1;
        for (int block = 1; block < total; block++)
        {
            _free.AddLast(block);
        }

        Publish();
    }

    internal int Total => _references.Length;

    /// <summary>Blocks that can be taken, cached ones included; other threads may read it for statistics.</summary>
    internal int Free => Volatile.Read(ref _freeCount) + Cached;

    /// <summary>Blocks without owner that the prefix index can find; other threads may read it.</summary>
    internal int Cached => Volatile.Read(ref _cachedCount);

    /// <summary>Blocks that somebody owns; the null block is not counted.</summary>
    internal int Used => Total - 1 - Free;

    /// <summary>How often a cached block got an owner again.</summary>
    internal long Revivals { get; private set; }

    /// <summary>How often a cached block gave way; other threads may read it.</summary>
    internal long Evictions { get; private set; }

    internal int ReferencesOf(int block) => _references[block];

    internal bool IsIndexed(int block) => _indexed[block];

    /// <summary>Takes a block for one owner: the one that has been free longest, else the next cached one.</summary>
    /// <param name="block">The block.</param>
    /// <param name="evicted">Whether it was cached: the caller takes it out of the index.</param>
    /// <returns>False when every block has owners.</returns>
    internal bool TryTake(out int block, out bool evicted)
    {
        evicted = false;
        block = _free.First;
        if (block != BlockList.None)
        {
            _free.Remove(block);
        }
        else
        {
            block = _cold.First != BlockList.None ? _cold.First : _cached.First;
            if (block == BlockList.None)
            {
                return false;
            }

            RemoveCached(block);
            _indexed[block] = false;
            evicted = true;
            Evictions++;
        }

        _references[block] = 1;
        Publish();
        return true;
    }

    /// <summary>Takes these blocks, which are free, for one owner.</summary>
    internal void Take(ReadOnlySpan<int> blocks)
    {
        foreach (int block in blocks)
        {
            Debug.Assert(_references[block] == 0 && !_indexed[block], "a block was taken that was not free");
            _free.Remove(block);
            _references[block] = 1;
        }

        Publish();
    }

    /// <summary>Adds an owner to a used block or to a cached one.</summary>
    internal void AddReference(int block)
    {
        Debug.Assert(block != NullBlock && (_references[block] > 0 || _indexed[block]), "a block without owner or index entry got an owner");
        if (_references[block]++ == 0)
        {
            RemoveCached(block);
            Revivals++;
            Publish();
        }
    }

    /// <summary>A sequence is released: the blocks that come next belong to it, the last one first.</summary>
    internal void BeginChain() => _cached.BeginChain();

    /// <summary>Takes one owner off; the last one leaves the block cached if the index knows it, free otherwise.</summary>
    /// <param name="block">The block.</param>
    /// <param name="chainBlocks">Blocks of the sequence that it was part of.</param>
    internal void Release(int block, int chainBlocks = 1)
    {
        Debug.Assert(block != NullBlock && _references[block] > 0, "a free block was released");
        if (--_references[block] > 0)
        {
            if (_indexed[block])
            {
                _cached.NoteKept(block, chainBlocks);
            }

            return;
        }

        if (_indexed[block])
        {
            _cached.Add(block, chainBlocks);
        }
        else
        {
            _free.AddLast(block);
        }

        Publish();
    }

    /// <summary>Takes one owner off a block that gives way before all but other cold ones if that was the last one.</summary>
    internal void ReleaseCold(int block)
    {
        if (_references[block] == 1 && _indexed[block])
        {
            _references[block] = 0;
            _cold.AddLast(block);
            _isCold[block] = true;
            Publish();
        }
        else
        {
            BeginChain();
            Release(block);
        }
    }

    /// <summary>The index can find the block from now on.</summary>
    internal void SetIndexed(int block)
    {
        Debug.Assert(_references[block] > 0 && !_indexed[block], "only an owned block enters the index, once");
        _indexed[block] = true;
        _cached.NoteNew(block);
    }

    /// <summary>The index has forgotten the block.</summary>
    internal void ClearIndexed(int block)
    {
        Debug.Assert(_indexed[block], "a block left the index that was not there");
        _indexed[block] = false;
        if (_references[block] == 0)
        {
            RemoveCached(block);
            _free.AddLast(block);
            Publish();
        }
    }

    /// <summary>A used block's owners and its place in the index go over to a free block, which it has been copied to; it is free itself.</summary>
    internal void Move(int from, int to)
    {
        Debug.Assert(_references[from] > 0 && _references[to] == 0 && !_indexed[to], "blocks move from used to free");
        _free.Remove(to);
        (_references[to], _indexed[to]) = (_references[from], _indexed[from]);
        (_references[from], _indexed[from]) = (0, false);
        _free.AddLast(from);
        if (_indexed[to])
        {
            _cached.NoteNew(to);
        }
    }

    /// <summary>Has free blocks taken in the order of their numbers, so that what is taken together lies together.</summary>
    internal void SortFree()
    {
        int[] blocks = [.. _free.Blocks().Order()];
        foreach (int block in blocks)
        {
            _free.Remove(block);
        }

        foreach (int block in blocks)
        {
            _free.AddLast(block);
        }
    }

    /// <summary>A request found the block in the index.</summary>
    internal void NoteHit(int block) => _cached.NoteHit(block);

    /// <summary>The cached blocks that give way next, in order; they stay.</summary>
    internal int PeekEvictions(Span<int> blocks)
    {
        int count = 0;
        for (int block = _cold.First; block != BlockList.None && count < blocks.Length; block = _cold.After(block))
        {
            blocks[count++] = block;
        }

        return count + _cached.Peek(blocks[count..]);
    }

    /// <summary>For invariant checks.</summary>
    internal IEnumerable<int> FreeBlocks() => _free.Blocks();

    internal IEnumerable<int> CachedBlocks() => _cold.Blocks().Concat(_cached.Blocks());

    private void RemoveCached(int block)
    {
        if (_isCold[block])
        {
            _isCold[block] = false;
            _cold.Remove(block);
        }
        else
        {
            _cached.Remove(block);
        }
    }

    private void Publish()
    {
        Volatile.Write(ref _freeCount, _free.Count);
        Volatile.Write(ref _cachedCount, _cold.Count + _cached.Count);
    }
}
