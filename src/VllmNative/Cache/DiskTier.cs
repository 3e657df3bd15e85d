using VllmNative.Cache.Disk;
using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>
/// The prefix cache's blocks on disk, seen from the engine thread: what reaches the host's tier is written by the offload thread, and a
/// request whose beginning is not in memory asks it, once, for more. First it only asks how much there is: host blocks, where both
/// meet, are taken for what was found.
/// </summary>
internal sealed class DiskTier
{
    // A request brings no more than this from disk: its tokens are computed faster than the rest could be read.
    private const int MostLoads = 1024;

    private readonly OffloadThread _thread;
    private readonly HostTier _tier;
    private readonly PrefixCache _prefixes;
    private readonly int _blockSize;
    private readonly Dictionary<long, Read> _reads = [];
    private readonly Dictionary<long, OffloadBlock[]> _stores = [];

    // What is asked for: the first block that is not in memory, by the node before it and its tokens' hash.
    private readonly HashSet<(long Parent, ulong Hash)> _asked = [];
    private long _lastJob;
    private int _resets;
    private long _loaded;

    /// <param name="Request">Waits for it.</param>
    /// <param name="First">Leading blocks that are in memory.</param>
    /// <param name="Pinned">Those of them that the host's tier has: they stay while the request waits.</param>
    /// <param name="HostBlocks">Where what was found goes; none while it is only looked for.</param>
    /// <param name="Asked">See <see cref="_asked"/>.</param>
    /// <param name="Resets">How often the cache had been reset when it asked.</param>
    private sealed record Read(Request Request, int First, int[] Pinned, int[] HostBlocks, (long Parent, ulong Hash) Asked, int Resets);

    internal DiskTier(OffloadThread thread, HostTier tier, PrefixCache prefixes, int blockSize)
    {
        _thread = thread;
        _tier = tier;
        _prefixes = prefixes;
        _blockSize = blockSize;
        tier.Filled = Store;
    }

    /// <summary>Blocks that came from disk so far; other threads may read it.</summary>
    internal long Loaded => Volatile.Read(ref _loaded);

    internal DiskStats Stats => _thread.Stats;

    /// <summary>Whether somebody waits for an answer.</summary>
    internal bool IsAsked => _reads.Count > 0;

    /// <summary>
    /// Asks for what follows the blocks that are in memory. The request waits for the answer, or for that of one which asked for the same
    /// before. False when there is nothing to ask.
    /// </summary>
    /// <param name="request">It holds no blocks.</param>
    /// <param name="known">Nodes of its leading blocks that are in memory.</param>
    internal bool TryAsk(Request request, ReadOnlySpan<int> known)
    {
        int most = Math.Min((request.Length - 1) / _blockSize, known.Length + MostLoads);
        if (request.AskedDisk || most <= known.Length)
        {
            return false;
        }

        long parent = known.IsEmpty ? request.PrefixRoot : _prefixes.Index.IdOf(known[^1]);
        (long Parent, ulong Hash) asked = (parent, TokenHash.Of(request.Tokens.Span.Slice(known.Length * _blockSize, _blockSize)));
        if (_asked.Contains(asked))
        {
            return true;
        }

        long id = ++_lastJob;
        if (!_thread.TryFind(new FindJob(id, PathOf(request, most), ScopeOf(request.Scheduling.CacheSalt), known.Length)))
        {
            return false;
        }

        request.AskedDisk = true;
        _asked.Add(asked);
        var pinned = new List<int>();
        foreach (int node in known)
        {
            if (_prefixes.Index.HostBlockOf(node) is not PrefixIndex.None and int block)
            {
                _tier.Pin(block);
                pinned.Add(block);
            }
        }

        _reads.Add(id, new Read(request, known.Length, [.. pinned], [], asked, _resets));
        request.InTransfer = true;
        return true;
    }

    /// <summary>Memory forgets what it has: what was asked for before brings nothing any more. Files stay.</summary>
    internal void Reset() => _resets++;

    /// <summary>Takes the answers that have come.</summary>
    internal void TakeResults()
    {
        while (_thread.TryTake(out OffloadResult result))
        {
            switch (result.Kind)
            {
                case OffloadResultKind.Found:
                    _reads.Remove(result.Id, out Read? question);
                    Load(question!, result.Blocks);
                    break;
                case OffloadResultKind.Loaded:
                    _reads.Remove(result.Id, out Read? load);
                    Take(load!, result.Blocks);
                    break;
                default:
                    _stores.Remove(result.Id, out OffloadBlock[]? blocks);
                    _tier.Unpin([.. blocks!.Select(block => block.HostBlock)]);
                    break;
            }
        }
    }

    // Takes host blocks for what was found, half of the tier at most: a single request shall not push out all that the others left.
    private void Load(Read question, int found)
    {
        Request request = question.Request;
        int wanted = request.Status == RequestStatus.Finished ? 0 : Math.Min(found, _tier.Host.Total / 2);
        var host = new List<int>(wanted);
        while (host.Count < wanted && _tier.TryTake(out int block))
        {
            host.Add(block);
        }

        Read load = question with { HostBlocks = [.. host] };
        long id = ++_lastJob;
        if (host.Count > 0 && _thread.TryLoad(new LoadJob(id, PathOf(request, load.First + host.Count), ScopeOf(request.Scheduling.CacheSalt), load.First, load.HostBlocks)))
        {
            _reads.Add(id, load);
        }
        else
        {
            Take(load, 0);
        }
    }

    private void Take(Read load, int blocks)
    {
        Request request = load.Request;
        request.InTransfer = false;
        int kept = blocks == 0 || load.Resets != _resets || request.Status == RequestStatus.Finished ? 0 : Keep(load, blocks);
        Array.ForEach(load.HostBlocks[kept..], _tier.GiveBack);
        _tier.NoteUse(load.HostBlocks.AsSpan(0, kept));
        _tier.Unpin(load.Pinned);
        _asked.Remove(load.Asked);
        Volatile.Write(ref _loaded, _loaded + kept);
    }

    // How many of the loaded blocks the index knows now; those before may have given way meanwhile, then nothing is found behind them.
    private int Keep(Read load, int blocks)
    {
        int kept = 0;
        int[] known = new int[load.First + blocks];
        int found = _prefixes.Match(load.Request, known);
        // What was computed by others in the meantime is not needed from disk.
        if (found == load.First)
        {
            int parent = found == 0 ? PrefixIndex.None : known[found - 1];
            for (; kept < blocks; kept++)
            {
                parent = _prefixes.AddBehind(load.Request, parent, load.First + kept);
                _tier.Keep(parent, load.HostBlocks[kept]);
            }
        }

        return kept;
    }

    // The blocks that a copy has brought to the host, written path by path; the deepest of a path come first.
    private void Store(IReadOnlyList<int> nodes)
    {
        HashSet<int> left = [.. nodes];
        foreach (int deepest in nodes)
        {
            if (!left.Contains(deepest) || !_prefixes.Index.TryPathOf(deepest, out int[] path, out PrefixRoot? root))
            {
                continue;
            }

            OffloadBlock[] blocks = [.. path.Select((node, i) => (node, i)).Where(at => left.Remove(at.node)).Select(at => new OffloadBlock(at.i, _prefixes.Index.HostBlockOf(at.node)))];
            int[] tokens = new int[path.Length * _blockSize];
            for (int i = 0; i < path.Length; i++)
            {
                _prefixes.Index.TokensOf(path[i]).CopyTo(tokens.AsSpan(i * _blockSize));
            }

            long id = ++_lastJob;
            if (_thread.TryStore(new StoreJob(id, tokens, ScopeOf(root!.Key.Salt), blocks)))
            {
                Array.ForEach(blocks, block => _tier.Pin(block.HostBlock));
                _stores.Add(id, blocks);
            }
        }
    }

    private int[] PathOf(Request request, int blocks) => request.Tokens.Span[..(blocks * _blockSize)].ToArray();

    private static PrefixScope ScopeOf(string? salt) => salt is null ? PrefixScope.Shared : new PrefixScope(null, salt);
}
