using System.Diagnostics;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>
/// The prefix cache's blocks in host memory. Cached blocks that are about to give way are copied here while there is still time,
/// and come back when a request begins with them. Least recently used blocks make room.
/// </summary>
internal sealed class HostTier
{
    // A step copies no more than this, so that the copies of one step are done with before many later ones.
    private const int MostOffloads = 64;

    private readonly HostBlockPool _host;
    private readonly KvCacheManager _cache;
    private readonly PrefixCache _prefixes;
    private readonly BlockTransfers _transfers;
    private readonly BlockList _lru;
    private readonly int[] _pins;
    private readonly int[] _coming; // copies under way to the device
    private readonly bool[] _forgotten; // while they are pinned: they go when nobody reads them any more
    private readonly int _keepFree;
    private readonly int[] _candidates = new int[MostOffloads];
    private int _comingFree;
    private long _offloaded;
    private long _onloaded;

    /// <param name="host">The tier's blocks.</param>
    /// <param name="cache">With a prefix cache.</param>
    /// <param name="transfers">Of the scheduler.</param>
    /// <param name="blocksPerStep">Device blocks that a step may need: so many are kept clean.</param>
    internal HostTier(HostBlockPool host, KvCacheManager cache, BlockTransfers transfers, int blocksPerStep)
    {
        _host = host;
        _cache = cache;
        _prefixes = cache.Prefixes ?? throw new ArgumentException("only a prefix cache has tiers", nameof(cache));
        _transfers = transfers;
        _lru = new BlockList(host.Total);
        _pins = new int[host.Total];
        _coming = new int[host.Total];
        _forgotten = new bool[host.Total];
        _keepFree = Math.Min(blocksPerStep, cache.Pool.Total / 2);
    }

    internal HostBlockPool Host => _host;

    /// <summary>Cached blocks that can be taken as soon as their copies have happened.</summary>
    internal int ComingFree => _comingFree;

    /// <summary>Blocks that went to the host and came back so far; other threads may read them.</summary>
    internal long Offloaded => Volatile.Read(ref _offloaded);

    internal long Onloaded => Volatile.Read(ref _onloaded);

    /// <summary>Told of the nodes whose blocks have come to the host; it may pin them.</summary>
    internal Action<IReadOnlyList<int>>? Filled { get; set; }

    /// <summary>Copies cached blocks that give way soon, when little is free beside them.</summary>
    internal void Clean(StepPlan plan)
    {
        BlockPool pool = _cache.Pool;
        // Without rows nothing more is needed soon; and what does not all fit would push itself out for ever.
        int missing = Math.Min(_keepFree - (pool.Free - pool.Cached) - _comingFree, Math.Min(MostOffloads, _host.Total));
        if (plan.Rows.Count == 0 || missing <= 0)
        {
            return;
        }

        int count = 0;
        foreach (int block in _candidates.AsSpan(0, pool.PeekEvictions(_candidates.AsSpan(0, missing))))
        {
            if (_prefixes.Index.HostBlockOf(_prefixes.Index.OfDeviceBlock(block)) == PrefixIndex.None)
            {
                _candidates[count++] = block;
            }
        }

        if (count > 0)
        {
            Offload(plan, _candidates.AsSpan(0, count));
        }
    }

    /// <summary>How many of the nodes behind the device's hits the host has, one behind the other.</summary>
    internal int HitsOf(ReadOnlySpan<int> nodes)
    {
        int hits = 0;
        while (hits < nodes.Length && _prefixes.Index.HostBlockOf(nodes[hits]) is not PrefixIndex.None and int block && !_forgotten[block - _host.First])
        {
            hits++;
        }

        return hits;
    }

    /// <summary>Whether the host's copy of a node is on its way to the device already.</summary>
    internal bool IsComing(int node) => _coming[_prefixes.Index.HostBlockOf(node) - _host.First] > 0;

    /// <summary>Brings blocks back for a request that waits for them; the pool has room.</summary>
    /// <param name="request">It holds the blocks of the nodes before.</param>
    /// <param name="nodes">Nodes that the host has.</param>
    /// <param name="plan">The step.</param>
    internal void Onload(Request request, ReadOnlySpan<int> nodes, StepPlan plan)
    {
        var device = new int[nodes.Length];
        var host = new int[nodes.Length];
        for (int i = 0; i < nodes.Length; i++)
        {
            bool taken = _cache.TryTake(out device[i]);
            Debug.Assert(taken, "the blocks were counted");
            request.Blocks[request.BlockCount++] = device[i];
            host[i] = _prefixes.Index.HostBlockOf(nodes[i]);
            Pin(host[i]);
            _coming[host[i] - _host.First]++;
        }

        request.InTransfer = true;
        _transfers.Begin(plan, new Transfer(TransferKind.Onload, request, device, host, nodes.Length));
    }

    /// <summary>Blocks have come back, or failed to.</summary>
    internal void OnloadedNow(Transfer transfer)
    {
        Request request = transfer.Request!;
        request.InTransfer = false;
        bool lost = transfer.Failed || request.Retracted || request.Status == RequestStatus.Finished;
        int first = request.BlockCount - transfer.Count;
        for (int i = 0; i < transfer.Count && !lost; i++)
        {
            int node = _prefixes.Index.OfHostBlock(transfer.HostBlocks[i]);
            if (_prefixes.Index.DeviceBlockOf(node) == PrefixIndex.None && !_forgotten[transfer.HostBlocks[i] - _host.First])
            {
                _prefixes.Index.SetDeviceBlock(node, transfer.DeviceBlocks[i]);
                _cache.Pool.SetIndexed(transfer.DeviceBlocks[i]);
            }

            (request.NodeCount, request.LastNode, request.LastNodeId) = (first + i + 1, node, _prefixes.Index.IdOf(node));
        }

        foreach (int block in transfer.HostBlocks)
        {
            _coming[block - _host.First]--;
        }

        Unpin(transfer.HostBlocks);

        if (lost)
        {
            _cache.Free(request);
            request.Computed = request.Scheduled = 0;
            return;
        }

        request.BorrowedBlocks = request.BlockCount;
        request.Computed = request.Scheduled = request.BlockCount * _cache.BlockSize;
        request.HostCachedTokens = request.CachedTokens < 0 ? transfer.Count * _cache.BlockSize : request.HostCachedTokens;
        Volatile.Write(ref _onloaded, _onloaded + transfer.Count);
    }

    /// <summary>Blocks have gone to the host, or failed to.</summary>
    internal void OffloadedNow(Transfer transfer)
    {
        List<int> filled = [];
        _comingFree -= transfer.Count;
        for (int i = 0; i < transfer.Count; i++)
        {
            (int device, int host) = (transfer.DeviceBlocks[i], transfer.HostBlocks[i]);
            int node = _prefixes.Index.OfDeviceBlock(device);
            // It may have been forgotten since.
            if (!transfer.Failed && node != PrefixIndex.None && _prefixes.Index.IdOf(node) == transfer.NodeIds[i] && _prefixes.Index.HostBlockOf(node) == PrefixIndex.None)
            {
                Keep(node, host);
                filled.Add(node);
            }
            else
            {
                _host.Release(host);
            }

            _cache.Pool.ReleaseCold(device);
        }

        Volatile.Write(ref _offloaded, _offloaded + filled.Count);
        Filled?.Invoke(filled);
    }

    /// <summary>A host block that is to be filled: a free one, or the least recently used; false when all are in use.</summary>
    internal bool TryTake(out int block)
    {
        if (_host.Free > 0)
        {
            block = _host.Take();
            return true;
        }

        for (int slot = _lru.First; slot != BlockList.None; slot = _lru.After(slot))
        {
            if (_pins[slot] == 0)
            {
                _lru.Remove(slot);
                block = slot + _host.First;
                _prefixes.ForgetIfUnused(_prefixes.Index.DropHostBlock(block));
                return true;
            }
        }

        block = PrefixIndex.None;
        return false;
    }

    /// <summary>A taken block holds what the node stands for.</summary>
    internal void Keep(int node, int block)
    {
        _prefixes.Index.SetHostBlock(node, block);
        _lru.AddLast(block - _host.First);
    }

    /// <summary>A taken block was not filled.</summary>
    internal void GiveBack(int block) => _host.Release(block);

    /// <summary>Keeps a block from making room while somebody reads it.</summary>
    internal void Pin(int block) => _pins[block - _host.First]++;

    /// <summary>The reader of a path's blocks is done; they count as used now.</summary>
    internal void Unpin(ReadOnlySpan<int> path)
    {
        NoteUse(path);
        foreach (int block in path)
        {
            int slot = block - _host.First;
            _pins[slot]--;
            if (_forgotten[slot] && _pins[slot] == 0)
            {
                Drop(slot);
            }
        }
    }

    /// <summary>A path's blocks are used. The first one counts as used last: those behind it are found through it.</summary>
    internal void NoteUse(ReadOnlySpan<int> path)
    {
        for (int i = path.Length - 1; i >= 0; i--)
        {
            _lru.Remove(path[i] - _host.First);
            _lru.AddLast(path[i] - _host.First);
        }
    }

    /// <summary>Forgets all blocks: those that somebody reads as soon as that is done.</summary>
    internal void Reset()
    {
        for (int slot = _lru.First; slot != BlockList.None;)
        {
            int next = _lru.After(slot);
            if (_pins[slot] == 0)
            {
                Drop(slot);
            }
            else
            {
                _forgotten[slot] = true;
            }

            slot = next;
        }
    }

    private void Drop(int slot)
    {
        _forgotten[slot] = false;
        _lru.Remove(slot);
        _prefixes.ForgetIfUnused(_prefixes.Index.DropHostBlock(slot + _host.First));
        _host.Release(slot + _host.First);
    }

    private void Offload(StepPlan plan, ReadOnlySpan<int> blocks)
    {
        var device = new int[blocks.Length];
        var host = new int[blocks.Length];
        var ids = new long[blocks.Length];
        int count = 0;
        foreach (int block in blocks)
        {
            if (!TryTake(out host[count]))
            {
                break;
            }

            int node = _prefixes.Index.OfDeviceBlock(block);
            device[count] = block;
            ids[count++] = _prefixes.Index.IdOf(node);
            _cache.Pool.AddReference(block);
        }

        if (count > 0)
        {
            _comingFree += count;
            _transfers.Begin(plan, new Transfer(TransferKind.Offload, null, device, host, count) { NodeIds = ids });
        }
    }
}
