namespace VllmNative.Cache.Disk;

/// <summary>Which block files are known to exist, their bytes together, and which of them was used least recently. For one thread.</summary>
internal sealed class DiskIndex
{
    private readonly Dictionary<BlockHash, DiskEntry> _entries = [];
    private readonly SortedSet<(long LastUse, BlockHash Hash)> _byUse = [];

    internal long Bytes { get; private set; }

    internal int Count => _entries.Count;

    internal bool TryGet(in BlockHash hash, out DiskEntry entry) => _entries.TryGetValue(hash, out entry);

    internal void Set(in BlockHash hash, in DiskEntry entry)
    {
        Remove(hash);
        _entries.Add(hash, entry);
        _byUse.Add((entry.LastUse, hash));
        Bytes += entry.Bytes;
    }

    internal void Remove(in BlockHash hash)
    {
        if (_entries.Remove(hash, out DiskEntry old))
        {
            _byUse.Remove((old.LastUse, hash));
            Bytes -= old.Bytes;
        }
    }

    internal bool TryOldest(out BlockHash hash, out DiskEntry entry)
    {
        hash = _byUse.Count == 0 ? default : _byUse.Min.Hash;
        return _entries.TryGetValue(hash, out entry);
    }

    /// <summary>Forgets what the scan of this number, or anyone since it began, has not seen: other processes removed it.</summary>
    internal void RemoveUnseen(int scan)
    {
        foreach ((BlockHash hash, DiskEntry entry) in _entries)
        {
            if (entry.Scan < scan)
            {
                // Removing is the one change that a dictionary allows while it is walked.
                Remove(hash);
            }
        }
    }
}
