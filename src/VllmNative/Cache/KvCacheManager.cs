using System.Diagnostics;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Cache;

/// <summary>Which blocks hold a request's K/V: grows, shares and frees block tables, and writes the changes into the plan.</summary>
internal sealed class KvCacheManager
{
    // One KV group today; sliding-window and hybrid models bring more.
    private const int Group = 0;

    private readonly BlockPool _pool;
    private readonly PrefixCache? _prefixes;

    /// <param name="pool">The device's blocks.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="prefixes">Null: requests share nothing.</param>
    internal KvCacheManager(BlockPool pool, int blockSize, PrefixCache? prefixes = null)
    {
        _pool = pool;
        _prefixes = prefixes;
        BlockSize = blockSize;
    }

    internal int BlockSize { get; }

    internal BlockPool Pool => _pool;

    internal PrefixCache? Prefixes => _prefixes;

    /// <summary>By how many blocks at most a request that was looked up in the prefix cache may have come to need less, counted up.</summary>
    internal long Gains => _pool.Revivals + (_prefixes?.Index.Gains ?? 0);

    /// <summary>Static batching: what requests take instead of single blocks; null = they take blocks as they grow.</summary>
    internal StaticRows? Rows { get; private set; }

    internal int BlocksFor(int tokens) => (tokens + BlockSize - 1) / BlockSize;

    /// <summary>From now on each request owns a whole row for so many tokens, and shares nothing.</summary>
    internal void DivideIntoRows(int tokens)
    {
        Debug.Assert(_prefixes is null, "requests in static rows share nothing");
        Rows = new StaticRows(_pool, BlocksFor(tokens));
    }

    /// <summary>A request has come.</summary>
    internal void Enter(Request request) => _prefixes?.Enter(request);

    /// <summary>A request has ended and holds no block.</summary>
    internal void Leave(Request request)
    {
        if (request.PrefixRoot != 0)
        {
            _prefixes!.Leave(request);
        }
    }

    /// <summary>Takes a block for one owner; false when every block has owners.</summary>
    internal bool TryTake(out int block)
    {
        if (!_pool.TryTake(out block, out bool evicted))
        {
            return false;
        }

        if (evicted)
        {
            _prefixes!.Evicted(block);
        }

        return true;
    }

    /// <summary>
    /// Gives the request blocks for its first <paramref name="tokens"/> tokens, and one of its own where it will write into a
    /// shared one; false, and no change, when the pool cannot.
    /// </summary>
    internal bool TryGrow(Request request, int tokens, StepPlan plan)
    {
        if (BlocksToGrow(request, tokens) > _pool.Free)
        {
            return false;
        }

        if (request.Scheduled == 0)
        {
            _prefixes?.Begin(request);
        }

        if (Rows is { } rows)
        {
            GrowInRow(rows, request, tokens, plan);
            return true;
        }

        int needed = BlocksFor(tokens);
        if (WritesShared(request))
        {
            CopyOnWrite(request, plan);
        }
        else if (WritesBegun(request))
        {
            // Whoever shared it may have filled it, and left: nobody shall find there what is overwritten now.
            _prefixes?.Forget(request.Blocks[request.Scheduled / BlockSize]);
        }

        while (request.BlockCount < needed)
        {
            bool taken = TryTake(out int block);
            Debug.Assert(taken, "the blocks were counted");
            Update(request, plan, request.BlockCount, block);
            request.Blocks[request.BlockCount++] = block;
        }

        return true;
    }

    /// <summary>Blocks that the request would take from the pool to hold so many tokens, a copy of a shared one among them.</summary>
    internal int BlocksToGrow(Request request, int tokens) => Rows is { } rows
        ? request.BlockCount == 0 ? rows.BlocksPerRow : 0
        : BlocksFor(tokens) - request.BlockCount + (WritesShared(request) ? 1 : 0);

    /// <summary>Blocks that the request has still to take for the tokens that it has.</summary>
    internal int BlocksToTake(Request request) => Math.Max(BlocksFor(request.Length) - request.BlockCount, 0);

    /// <summary>Whether the next token goes into a block that others read too, which is copied first.</summary>
    internal bool WritesShared(Request request) => WritesBegun(request) && _pool.ReferencesOf(request.Blocks[request.Scheduled / BlockSize]) > 1;

    /// <summary>Blocks that would come free if the request gave its own back.</summary>
    internal int CountUnshared(Request request)
    {
        int count = 0;
        for (int i = 0; i < request.BlockCount; i++)
        {
            count += _pool.ReferencesOf(request.Blocks[i]) == 1 ? 1 : 0;
        }

        return count;
    }

    /// <summary>Tells the device which blocks the request has, when it gets a row.</summary>
    internal static void WriteTable(Request request, StepPlan plan)
    {
        for (int i = 0; i < request.BlockCount; i++)
        {
            Update(request, plan, i, request.Blocks[i]);
        }
    }

    /// <summary>Makes the request an owner of blocks that the prefix index has found for it.</summary>
    internal void Borrow(Request request, ReadOnlySpan<int> nodes)
    {
        Debug.Assert(request.BlockCount == 0, "only a request without blocks borrows");
        PrefixIndex index = _prefixes!.Index;
        _prefixes.Begin(request);
        foreach (int node in nodes)
        {
            int block = index.DeviceBlockOf(node);
            _pool.AddReference(block);
            _pool.NoteHit(block);
            request.Blocks[request.BlockCount++] = block;
            (request.LastNode, request.LastNodeId, request.NodeCount) = (node, index.IdOf(node), request.BlockCount);
        }

        request.BorrowedBlocks = request.BlockCount;
        request.Computed = request.Scheduled = request.BlockCount * BlockSize;
    }

    /// <summary>Gives a fork the blocks of the first <paramref name="tokens"/> tokens of its parent, who has computed them or will have.</summary>
    internal void Share(Request parent, Request fork, int tokens)
    {
        Debug.Assert(fork.BlockCount == 0 && tokens <= parent.Scheduled, "a fork shares what its parent has");
        int shared = BlocksFor(tokens);
        for (int i = 0; i < shared; i++)
        {
            _pool.AddReference(parent.Blocks[i]);
            fork.Blocks[i] = parent.Blocks[i];
        }

        fork.BlockCount = shared;
        // Of a begun block the rest is its own work.
        fork.BorrowedBlocks = tokens / BlockSize;
        fork.Computed = fork.Scheduled = tokens;
        (fork.ForkedFrom, fork.ForkedTokens) = (parent, tokens);
        fork.BegunAtReset = parent.BegunAtReset;
    }

    /// <summary>
    /// Has a beam give up its blocks for those of another one, which is as long. Entries of its block table that change are stale until
    /// <see cref="WriteStaleEntries"/>.
    /// </summary>
    internal void GoOnFrom(Request source, Request beam)
    {
        int common = source.Blocks.AsSpan(0, source.BlockCount).CommonPrefixLength(beam.Blocks.AsSpan(0, beam.BlockCount));
        int chain = beam.BlockCount;
        _pool.BeginChain();
        while (beam.BlockCount > common)
        {
            _pool.Release(beam.Blocks[--beam.BlockCount], chain);
        }

        while (beam.BlockCount < source.BlockCount)
        {
            _pool.AddReference(source.Blocks[beam.BlockCount]);
            beam.Blocks[beam.BlockCount] = source.Blocks[beam.BlockCount];
            beam.BlockCount++;
        }

        // Beams fail together: only what others computed is borrowed.
        beam.BorrowedBlocks = source.BorrowedBlocks;
        (beam.Computed, beam.Scheduled) = (source.Computed, source.Scheduled);
        beam.BegunAtReset = source.BegunAtReset;
        (beam.NodeCount, beam.LastNode, beam.LastNodeId) = (source.NodeCount, source.LastNode, source.LastNodeId);
        beam.FirstStaleEntry = beam.Row < 0 ? int.MaxValue : Math.Min(beam.FirstStaleEntry, common);
    }

    /// <summary>Tells the device which entries of a running request's block table have changed.</summary>
    internal static void WriteStaleEntries(Request request, StepPlan plan)
    {
        for (int i = request.FirstStaleEntry; i < request.BlockCount; i++)
        {
            Update(request, plan, i, request.Blocks[i]);
        }

        request.FirstStaleEntry = int.MaxValue;
    }

    /// <summary>Makes known what the request has filled.</summary>
    internal void Register(Request request)
    {
        if (request.PrefixRoot != 0)
        {
            _prefixes!.Register(request);
        }
    }

    /// <summary>Gives back all blocks, last first, so that the end of a sequence is reused before its beginning.</summary>
    internal void Free(Request request)
    {
        int chain = request.BlockCount;
        _pool.BeginChain();
        while (request.BlockCount > 0)
        {
            _pool.Release(request.Blocks[--request.BlockCount], chain);
        }

        if (Rows is not null)
        {
            // The row's table goes with the row.
            request.Blocks = [];
        }

        request.BorrowedBlocks = 0;
        request.ForkedFrom = null;
        PrefixCache.Restart(request);
    }

    // The device hears of a row's blocks as tokens reach them: whole rows of a batch that begins are more entries than a step can change.
    private void GrowInRow(StaticRows rows, Request request, int tokens, StepPlan plan)
    {
        if (request.BlockCount == 0)
        {
            rows.Take(request);
        }

        for (int i = BlocksFor(request.Scheduled); i < BlocksFor(tokens); i++)
        {
            Update(request, plan, i, request.Blocks[i]);
        }
    }

    private bool WritesBegun(Request request) => request.Scheduled % BlockSize != 0 && request.Scheduled / BlockSize < request.BlockCount;

    private void CopyOnWrite(Request request, StepPlan plan)
    {
        int index = request.Scheduled / BlockSize;
        int shared = request.Blocks[index];
        bool taken = TryTake(out int block);
        Debug.Assert(taken, "the block was counted");
        plan.BlockCopies.Add(new BlockCopy(shared, block));
        _pool.BeginChain();
        _pool.Release(shared);
        Update(request, plan, index, block);
        request.Blocks[index] = block;
    }

    private static void Update(Request request, StepPlan plan, int index, int block) =>
        plan.TableUpdates.Add(new TableUpdate(Group, request.Row, index, block));
}
