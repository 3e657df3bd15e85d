using System.Collections.Concurrent;
using System.Globalization;

namespace VllmNative.Cache.Disk;

/// <summary>
/// The one thread that hashes paths and touches the disk. The engine thread adds jobs and takes results, and waits for neither.
/// Reads go before stores, even between the blocks of one, since a request waits for them; in idle moments the store scans.
/// </summary>
internal sealed class OffloadThread : IDisposable
{
    // Marking costs some microseconds a block, and a path of thousands grows by one every few milliseconds.
    private const long MarkEveryMilliseconds = 60_000;

    private readonly DiskBlockStore _store;
    private readonly HashChainCache _chains;
    private readonly IHostBlocks _host;
    private readonly int _blockSize;
    private readonly Action _wake;
    private readonly Action<string>? _log;
    private readonly OffloadQueue<ReadJob> _reads;
    private readonly OffloadQueue<StoreJob> _stores;
    private readonly ConcurrentQueue<OffloadResult> _results = new();
    private readonly AutoResetEvent _added = new(false);
    private readonly Thread _thread;
    private volatile bool _stopping;
    private bool _failureLogged;

    /// <param name="store">The disk; this thread's alone from now on.</param>
    /// <param name="fingerprint">Fingerprint of the model.</param>
    /// <param name="host">The host pool's memory.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="capacity">Most jobs of each kind whose results were not taken yet.</param>
    /// <param name="wake">Called on this thread after each result; must return at once and not throw.</param>
    /// <param name="log">Takes a line if a job fails for a reason of our own; may be null.</param>
    internal OffloadThread(
        DiskBlockStore store, in BlockHash fingerprint, IHostBlocks host, int blockSize, int capacity, Action wake, Action<string>? log = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _store = store;
        _chains = new HashChainCache(fingerprint, blockSize);
        _host = host;
        _blockSize = blockSize;
        _wake = wake;
        _log = log;
        _reads = new OffloadQueue<ReadJob>(capacity);
        _stores = new OffloadQueue<StoreJob>(capacity);
        _thread = new Thread(Work) { IsBackground = true, Name = "vllm-native offload" };
        _thread.Start();
    }

    /// <summary>Statistics of the disk; any thread may read them.</summary>
    internal DiskStats Stats => _store.Stats;

    /// <summary>Adds a question; false if too many reads are open: no result will come. For the engine thread.</summary>
    /// <exception cref="ArgumentException">The path is not of full blocks, or the first block does not lie on it.</exception>
    internal bool TryFind(FindJob job)
    {
        int blocks = BlocksOf(job);
        if ((uint)job.FirstBlock >= (uint)blocks)
        {
            throw Outside(job.FirstBlock, job.FirstBlock, blocks);
        }

        return TryAdd(_reads, job);
    }

    /// <summary>Adds a load; false if too many reads are open: nothing is loaded, and no result will come. For the engine thread.</summary>
    /// <exception cref="ArgumentException">The path is not of full blocks, or the blocks do not lie on it.</exception>
    internal bool TryLoad(LoadJob job)
    {
        int blocks = BlocksOf(job);
        if (job.FirstBlock < 0 || job.FirstBlock + (long)job.HostBlocks.Length > blocks)
        {
            throw Outside(job.FirstBlock, job.FirstBlock + (long)job.HostBlocks.Length - 1, blocks);
        }

        return TryAdd(_reads, job);
    }

    /// <summary>Adds a store; false if too many are open: nothing is stored, and no result will come. For the engine thread.</summary>
    /// <exception cref="ArgumentException">The path is not of full blocks, or a block does not lie on it.</exception>
    internal bool TryStore(StoreJob job)
    {
        int blocks = BlocksOf(job);
        foreach (OffloadBlock block in job.Blocks.Span)
        {
            if ((uint)block.PathIndex >= (uint)blocks)
            {
                throw Outside(block.PathIndex, block.PathIndex, blocks);
            }
        }

        return TryAdd(_stores, job);
    }

    /// <summary>Takes the next result; false if there is none yet. For the engine thread.</summary>
    internal bool TryTake(out OffloadResult result)
    {
        if (!_results.TryDequeue(out result))
        {
            return false;
        }

        if (result.Kind == OffloadResultKind.Stored)
        {
            _stores.Close();
        }
        else
        {
            _reads.Close();
        }

        return true;
    }

    /// <summary>
    /// Ends the thread after the block that it is at; every open job gets a result, with what was done of it. A disk that hangs holds
    /// this up: the thread may be writing to host memory that is freed next.
    /// </summary>
    public void Dispose()
    {
        if (_stopping)
        {
            return;
        }

        _stopping = true;
        _added.Set();
        _thread.Join();
        _added.Dispose();
    }

    private bool TryAdd<T>(OffloadQueue<T> queue, T job)
        where T : OffloadJob
    {
        if (_stopping || !queue.TryAdd(job))
        {
            return false;
        }

        _added.Set();
        return true;
    }

    private int BlocksOf(OffloadJob job)
    {
        int tokens = job.Tokens.Length;
        return tokens % _blockSize == 0
            ? tokens / _blockSize
            : throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"the path has {tokens} tokens, expected a multiple of {_blockSize}"));
    }

    private static ArgumentException Outside(long first, long last, int blocks) =>
        new(string.Create(CultureInfo.InvariantCulture, $"blocks {first}..{last} of the path are asked for, expected 0..{blocks - 1}"));

    private void Work()
    {
        while (!_stopping)
        {
            if (ServeReads())
            {
                continue;
            }

            if (_stores.TryTake(out StoreJob? store))
            {
                Finish(store, OffloadResultKind.Stored, Store(store));
            }
            else if (!Scan())
            {
                _added.WaitOne();
            }
        }

        ServeReads();
        while (_stores.TryTake(out StoreJob? store))
        {
            Finish(store, OffloadResultKind.Stored, 0);
        }
    }

    private bool Scan()
    {
        try
        {
            return _store.Scan();
        }
        catch (Exception e)
        {
            NoteFailure(e);
            return false;
        }
    }

    private bool ServeReads()
    {
        bool any = false;
        while (_reads.TryTake(out ReadJob? read))
        {
            if (read is LoadJob load)
            {
                Finish(load, OffloadResultKind.Loaded, Load(load));
            }
            else
            {
                Finish(read, OffloadResultKind.Found, Find((FindJob)read));
            }

            any = true;
        }

        return any;
    }

    private void Finish(OffloadJob job, OffloadResultKind kind, int blocks)
    {
        _results.Enqueue(new OffloadResult(job.Id, kind, blocks));
        _wake();
    }

    private int Find(FindJob job)
    {
        int found = 0;
        try
        {
            HashChain chain = _chains.Of(job.Scope, job.Tokens.Span);
            int most = (job.Tokens.Length / _blockSize) - job.FirstBlock;
            while (!_stopping && found < most && _store.Has(chain[job.FirstBlock + found]))
            {
                found++;
            }
        }
        catch (Exception e)
        {
            NoteFailure(e);
        }

        return found;
    }

    private int Load(LoadJob job)
    {
        int loaded = 0;
        try
        {
            HashChain chain = _chains.Of(job.Scope, job.Tokens.Span);
            long use = _store.NextUses(job.FirstBlock + job.HostBlocks.Length);
            while (!_stopping && loaded < job.HostBlocks.Length && Read(job.FirstBlock + loaded, job.HostBlocks.Span[loaded]))
            {
                loaded++;
            }

            if (loaded > 0)
            {
                MarkBefore(job.FirstBlock, chain, use);
            }

            bool Read(int block, int host) => _store.Read(chain[block], _host.Block(host), use - block);
        }
        catch (Exception e)
        {
            NoteFailure(e);
        }

        return loaded;
    }

    private int Store(StoreJob job)
    {
        int stored = 0;
        try
        {
            HashChain chain = _chains.Of(job.Scope, job.Tokens.Span);
            long use = _store.NextUses(job.Tokens.Length / _blockSize);
            for (int i = 0; i < job.Blocks.Length && !_stopping; i++)
            {
                OffloadBlock block = job.Blocks.Span[i];
                stored += _store.Write(chain[block.PathIndex], _host.Block(block.HostBlock), use - block.PathIndex) ? 1 : 0;
                ServeReads();
            }

            if (stored > 0)
            {
                MarkBefore(job.Blocks.Span[0].PathIndex, chain, use);
            }
        }
        catch (Exception e)
        {
            NoteFailure(e);
        }

        return stored;
    }

    // Blocks that are still in faster memory are not read from the disk; were they evicted for that, the rest of their path would be lost.
    private void MarkBefore(int block, HashChain chain, long use)
    {
        long now = Environment.TickCount64;
        if (block == 0 || (chain.MarkedAt != long.MinValue && now - chain.MarkedAt < MarkEveryMilliseconds))
        {
            return;
        }

        chain.MarkedAt = now;
        for (int i = 0; i < block && !_stopping; i++)
        {
            _store.Mark(chain[i], use - i);
        }
    }

    // A mistake of ours is no reason to end a request, or the process: the job ends with what was done of it.
    private void NoteFailure(Exception error)
    {
        if (!_failureLogged)
        {
            _failureLogged = true;
            _log?.Invoke("disk cache: a job failed, as others may without notice: " + error.ToString().ReplaceLineEndings(" "));
        }
    }
}
