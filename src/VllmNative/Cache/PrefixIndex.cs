using System.Diagnostics;

namespace VllmNative.Cache;

/// <summary>
/// Finds blocks by what they hold. A node stands for the tokens of one block behind a certain other node; its id is never
/// reused, and tokens are compared, so that neither a collision nor a parent that is gone can give a wrong block. A node
/// lives as long as a copy of its block does, on the device or in host memory. Nothing is allocated after construction.
/// One thread changes it; others may look into it meanwhile: a node's content only changes while its id is 0.
/// </summary>
internal sealed class PrefixIndex
{
    internal const int None = -1;

    // Another thread that finds a chain longer than this was led astray by changes.
    private const int LongestChain = 64;

    private readonly int _blockSize;
    private readonly int[] _buckets;
    private readonly int[] _next;
    private readonly ulong[] _keys;
    private readonly long[] _ids;
    private readonly long[] _parents;
    private readonly int[] _parentNodes;
    private readonly int[] _tokens;
    private readonly int[] _deviceBlocks;
    private readonly int[] _hostBlocks;
    private readonly PrefixRoot?[] _roots;
    private readonly int[] _ofDeviceBlock;
    private readonly int[] _ofHostBlock;
    private int _unused;
    private long _lastId;

    /// <param name="deviceBlocks">Blocks of the device's pool.</param>
    /// <param name="hostBlocks">Blocks of the host's pool.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    internal PrefixIndex(int deviceBlocks, int hostBlocks, int blockSize)
    {
        int nodes = deviceBlocks + hostBlocks;
        _blockSize = blockSize;
        _buckets = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)(2 * nodes))];
        _next = new int[nodes];
        _keys = new ulong[nodes];
        _ids = new long[nodes];
        _parents = new long[nodes];
        _parentNodes = new int[nodes];
        _tokens = new int[nodes * blockSize];
        _deviceBlocks = new int[nodes];
        _hostBlocks = new int[nodes];
        _roots = new PrefixRoot?[nodes];
        _ofDeviceBlock = new int[deviceBlocks];
        _ofHostBlock = new int[hostBlocks];
        Array.Fill(_buckets, None);
        Array.Fill(_ofDeviceBlock, None);
        Array.Fill(_ofHostBlock, None);
        for (int node = 0; node < nodes; node++)
        {
            _next[node] = node + 1 < nodes ? node + 1 : None;
        }
    }

    /// <summary>Most nodes.</summary>
    internal int Capacity => _ids.Length;

    /// <summary>Nodes that can be found.</summary>
    internal int Count { get; private set; }

    /// <summary>
    /// By how much at most look-ups may have come to find more blocks on the device, counted up: a look-up finds no more than an earlier one
    /// by the difference of this number.
    /// </summary>
    internal long Gains { get; private set; }

    /// <summary>A number for a root or a node, given out once.</summary>
    internal long NewId() => ++_lastId;

    internal long IdOf(int node) => _ids[node];

    internal long ParentOf(int node) => _parents[node];

    internal ReadOnlySpan<int> TokensOf(int node) => _tokens.AsSpan(node * _blockSize, _blockSize);

    /// <summary>The device's copy; -1 = none.</summary>
    internal int DeviceBlockOf(int node) => _deviceBlocks[node];

    /// <summary>The host's copy; -1 = none.</summary>
    internal int HostBlockOf(int node) => _hostBlocks[node];

    internal int OfDeviceBlock(int block) => _ofDeviceBlock[block];

    internal int OfHostBlock(int block) => _ofHostBlock[block];

    /// <summary>The node of these tokens behind a parent; -1 = not known.</summary>
    /// <param name="parent">Id of the node before, or of the root.</param>
    /// <param name="hash"><see cref="TokenHash.Of"/> the tokens.</param>
    /// <param name="tokens">One block of tokens.</param>
    internal int Find(long parent, ulong hash, ReadOnlySpan<int> tokens)
    {
        ulong key = TokenHash.Behind(parent, hash);
        for (int node = _buckets[Bucket(key)]; node != None; node = _next[node])
        {
            if (_keys[node] == key && _parents[node] == parent && tokens.SequenceEqual(TokensOf(node)))
            {
                return node;
            }
        }

        return None;
    }

    /// <summary>As <see cref="Find"/>, on any thread; a node that changes meanwhile may be missed.</summary>
    /// <param name="parent">Id of the node before, or of the root.</param>
    /// <param name="hash"><see cref="TokenHash.Of"/> the tokens.</param>
    /// <param name="tokens">One block of tokens.</param>
    /// <param name="id">The node's: as long as it has this id it stands for these tokens.</param>
    internal int FindFromOutside(long parent, ulong hash, ReadOnlySpan<int> tokens, out long id)
    {
        ulong key = TokenHash.Behind(parent, hash);
        int node = Volatile.Read(ref _buckets[Bucket(key)]);
        for (int looked = 0; node != None && looked < LongestChain; looked++)
        {
            id = Volatile.Read(ref _ids[node]);
            if (id != 0 && _keys[node] == key && _parents[node] == parent && tokens.SequenceEqual(TokensOf(node)))
            {
                Volatile.ReadBarrier();
                if (_ids[node] == id)
                {
                    return node;
                }
            }

            node = Volatile.Read(ref _next[node]);
        }

        id = 0;
        return None;
    }

    /// <summary>Adds a node that is not known yet; give it a block next.</summary>
    /// <param name="parent">Id of the node before, or of the root.</param>
    /// <param name="hash"><see cref="TokenHash.Of"/> the tokens.</param>
    /// <param name="tokens">One block of tokens.</param>
    /// <param name="parentNode">The node before; -1 for a first block.</param>
    /// <param name="root">For a first block, the root.</param>
    internal int Add(long parent, ulong hash, ReadOnlySpan<int> tokens, int parentNode, PrefixRoot? root)
    {
        int node = _unused;
        Debug.Assert(node != None, "every node has a block, so nodes cannot run out");
        _unused = _next[node];
        ulong key = TokenHash.Behind(parent, hash);
        (_keys[node], _parents[node], _deviceBlocks[node], _hostBlocks[node], _roots[node]) = (key, parent, None, None, root);
        _parentNodes[node] = parentNode;
        tokens.CopyTo(_tokens.AsSpan(node * _blockSize));
        Volatile.Write(ref _ids[node], NewId());
        int bucket = Bucket(key);
        _next[node] = _buckets[bucket];
        Volatile.Write(ref _buckets[bucket], node);
        Count++;
        if (root is not null)
        {
            root.Users++;
        }

        return node;
    }

    /// <summary>The nodes from the first block of a sequence to this one; false when one before it is gone.</summary>
    internal bool TryPathOf(int node, out int[] path, out PrefixRoot? root)
    {
        var nodes = new List<int>();
        root = _roots[node];
        nodes.Add(node);
        while (root is null)
        {
            int parent = _parentNodes[node];
            // A node that was given to another sequence has another id.
            if (parent == None || _ids[parent] != _parents[node])
            {
                path = [];
                return false;
            }

            node = parent;
            nodes.Add(node);
            root = _roots[node];
        }

        nodes.Reverse();
        path = [.. nodes];
        return true;
    }

    internal void SetDeviceBlock(int node, int block)
    {
        // Behind a node that only the host had, there may be others that the device has; a new one has nothing behind it.
        Gains += _hostBlocks[node] == None ? 1 : Capacity;
        _deviceBlocks[node] = block;
        _ofDeviceBlock[block] = node;
    }

    /// <summary>The device's copy lies elsewhere now, if there is a node for it.</summary>
    internal void MoveDeviceBlock(int from, int to)
    {
        int node = _ofDeviceBlock[from];
        if (node != None)
        {
            _ofDeviceBlock[from] = None;
            SetDeviceBlock(node, to);
        }
    }

    internal void SetHostBlock(int node, int block)
    {
        _hostBlocks[node] = block;
        _ofHostBlock[block] = node;
    }

    /// <summary>The device's copy is gone; without another one so is the node.</summary>
    /// <returns>The root that it was a first block of, when it is gone.</returns>
    internal PrefixRoot? DropDeviceBlock(int block)
    {
        int node = _ofDeviceBlock[block];
        _ofDeviceBlock[block] = None;
        _deviceBlocks[node] = None;
        return _hostBlocks[node] == None ? Remove(node) : null;
    }

    /// <summary>The host's copy is gone; without another one so is the node.</summary>
    /// <returns>The root that it was a first block of, when it is gone.</returns>
    internal PrefixRoot? DropHostBlock(int block)
    {
        int node = _ofHostBlock[block];
        _ofHostBlock[block] = None;
        _hostBlocks[node] = None;
        return _deviceBlocks[node] == None ? Remove(node) : null;
    }

    private PrefixRoot? Remove(int node)
    {
        int bucket = Bucket(_keys[node]);
        if (_buckets[bucket] == node)
        {
            _buckets[bucket] = _next[node];
        }
        else
        {
            int before = _buckets[bucket];
            while (_next[before] != node)
            {
                before = _next[before];
            }

            _next[before] = _next[node];
        }

        _next[node] = _unused;
        _unused = node;
        _ids[node] = 0;
        // Whoever looks from outside sees no new content under the old id.
        Volatile.WriteBarrier();
        Count--;
        PrefixRoot? root = _roots[node];
        _roots[node] = null;
        if (root is not null)
        {
            root.Users--;
        }

        return root;
    }

    private int Bucket(ulong key) => (int)(key & (ulong)(_buckets.Length - 1));
}
