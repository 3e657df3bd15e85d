using VllmNative.Cache.Disk;
using VllmNative.Requests;

namespace VllmNative.Cache;

/// <summary>
/// The prefix cache's blocks on disk, seen from the engine thread: what reaches the host's tier is written by the offload thread, and a
/// request whose beginning is not in memory asks it, once, for more. Host blocks are where both meet.
/// </summary>
internal sealed class DiskTier
{
    // A request brings no more than this from disk: its tokens are computed faster than the rest could be read.
    private const int MostLoads = 1024;

    private readonly OffloadThread _thread;
    private readonly HostTier _tier;
    private readonly PrefixCache _prefixes;
    private readonly int _blockSize;
    private readonly Dictionary<long, Load> _loads = [];
    private readonly Dictionary<long, OffloadBlock[]> _stores = [];
    private long _lastJob;
    private long _loaded;

    private sealed record Load(Request Request, int First, int[] HostBlocks);

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

    /// <summary>Asks for what follows the blocks that are in memory; the request waits for the answer. False when there is nothing to ask, or no room.</summary>
    /// <param name="request">It holds no blocks.</param>
    /// <param name="known">Leading blocks that are in memory.</param>
    internal bool TryAsk(Request request, int known)
    {
        // Half of the tier at most, so that what it holds is not pushed out by a guess.
        int wanted = Math.Min(((request.Length - 1) / _blockSize) - known, Math.Min(MostLoads, _tier.Host.Total / 2));
        if (request.AskedDisk || wanted <= 0)
        {
            return false;
        }

        request.AskedDisk = true;
        var host = new List<int>(wanted);
        while (host.Count < wanted && _tier.TryTake(out int block))
        {
            host.Add(block);
        }

        int[] blocks = [.. host];
        int[] tokens = request.Tokens.Span[..((known + blocks.Length) * _blockSize)].ToArray();
        long id = ++_lastJob;
        if (blocks.Length == 0 || !_thread.TryLoad(new LoadJob(id, tokens, ScopeOf(request.Scheduling.CacheSalt), known, blocks)))
        {
            Array.ForEach(blocks, _tier.GiveBack);
            return false;
        }

        _loads.Add(id, new Load(request, known, blocks));
        request.InTransfer = true;
        return true;
    }

    /// <summary>Takes the answers that have come.</summary>
    internal void TakeResults()
    {
        while (_thread.TryTake(out OffloadResult result))
        {
            if (result.IsLoad)
            {
                _loads.Remove(result.Id, out Load? load);
                Take(load!, result.Blocks);
            }
            else
            {
                _stores.Remove(result.Id, out OffloadBlock[]? blocks);
                foreach (OffloadBlock block in blocks!)
                {
                    _tier.Unpin(block.HostBlock);
                }
            }
        }
    }

    private void Take(Load load, int blocks)
    {
        Request request = load.Request;
        request.InTransfer = false;
        int kept = request.Status == RequestStatus.Finished ? 0 : Keep(load, blocks);
        Array.ForEach(load.HostBlocks[kept..], _tier.GiveBack);
        Volatile.Write(ref _loaded, _loaded + kept);
    }

    // How many of the loaded blocks the index knows now; those before may have given way meanwhile, then nothing is found behind them.
    private int Keep(Load load, int blocks)
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

    private static PrefixScope ScopeOf(string? salt) => salt is null ? PrefixScope.Shared : new PrefixScope(null, salt);
}
