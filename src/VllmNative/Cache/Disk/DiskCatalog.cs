namespace VllmNative.Cache.Disk;

/// <summary>
/// Keeps a root within its budget: which block files are there, by scanning and by what this process does, and which of them go,
/// least recently used first, whichever model they are of.
/// </summary>
/// <param name="paths">Names of files.</param>
/// <param name="fileBytes">What a file of this process's model takes on the disk.</param>
/// <param name="budget">Most bytes of all files.</param>
/// <param name="faults">Hears of files that cannot be removed.</param>
internal sealed class DiskCatalog(BlockPaths paths, long fileBytes, long budget, DiskFaults faults)
{
    private readonly DiskIndex _index = new();
    private readonly List<ScannedFile> _found = [];
    private DirectoryScan? _scan;
    private int _scans;
    private long _writtenSinceScan;
    private long _blocks;
    private long _bytes;
    private long _evicted;

    internal long Blocks => Volatile.Read(ref _blocks);

    internal long Bytes => Volatile.Read(ref _bytes);

    internal long Evicted => Volatile.Read(ref _evicted);

    /// <summary>Looks into the next folder; false when there is nothing to look for until more is written.</summary>
    internal bool Scan()
    {
        // Other processes write under the same budget: now and then their blocks have to be counted.
        if (_scan is null && (_scans == 0 || _writtenSinceScan >= Math.Max(budget / 8, fileBytes)))
        {
            _scan = new DirectoryScan(paths);
            _scans++;
            _writtenSinceScan = 0;
        }

        if (_scan is null)
        {
            return false;
        }

        if (TryStep(_scan, out bool more))
        {
            Adopt();
            if (!more)
            {
                _index.RemoveUnseen(_scans);
            }
        }

        _scan = more ? _scan : null;

        MakeRoom(0, long.MaxValue);
        Publish();
        return true;
    }

    /// <summary>Removes old files until a block of this process fits in; false if it would have to be the next to go itself.</summary>
    internal bool TryMakeRoom(long use)
    {
        bool room = MakeRoom(fileBytes, use);
        Publish();
        return room && faults.Writes;
    }

    /// <summary>Notes a block of this process's model that was written.</summary>
    internal void NoteWritten(in BlockHash hash, long use)
    {
        _writtenSinceScan += fileBytes;
        NoteUse(hash, use);
    }

    /// <summary>Notes that a block of this process's model is there and was used.</summary>
    internal void NoteUse(in BlockHash hash, long use)
    {
        _index.Set(hash, new DiskEntry(paths.Model, fileBytes, use, _scans));
        Publish();
    }

    /// <summary>Whether a block is known to be there.</summary>
    internal bool Knows(in BlockHash hash) => _index.TryGet(hash, out _);

    /// <summary>Notes that a block is not there.</summary>
    internal void Forget(in BlockHash hash)
    {
        _index.Remove(hash);
        Publish();
    }

    // A scan that the disk ends early proves nothing about what it has not seen.
    private bool TryStep(DirectoryScan scan, out bool more)
    {
        _found.Clear();
        try
        {
            more = scan.Step(_found);
            return true;
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            faults.NoteUnreadable(e);
            more = false;
            return false;
        }
    }

    private void Adopt()
    {
        long now = DateTime.UtcNow.Ticks;
        foreach (ScannedFile file in _found)
        {
            // A clock that was ahead must not make a file immortal.
            long use = Math.Min(file.LastUse, now);
            if (_index.TryGet(file.Hash, out DiskEntry known))
            {
                use = Math.Max(use, known.LastUse);
            }

            _index.Set(file.Hash, new DiskEntry(file.Model, DiskEntry.BytesOf(file.Length), use, _scans));
        }
    }

    private bool MakeRoom(long bytes, long use)
    {
        while (_index.Bytes + bytes > budget && _index.TryOldest(out BlockHash hash, out DiskEntry oldest))
        {
            if (oldest.LastUse >= use)
            {
                return false;
            }

            string path = paths.FileOf(oldest.Model, hash);
            if (UsedByOthers(path, oldest.LastUse, out long later))
            {
                _index.Set(hash, oldest with { LastUse = later });
                continue;
            }

            // Where nothing can be removed nothing is written either: forgetting keeps the index within its bound.
            _index.Remove(hash);
            if (faults.Writes)
            {
                Remove(path);
            }
        }

        return _index.Bytes + bytes <= budget;
    }

    // Times ahead of the clock are nobody's use, and would be found again and again.
    private static bool UsedByOthers(string path, long known, out long use)
    {
        try
        {
            use = new FileInfo(path).LastWriteTimeUtc.Ticks;
            return use > known && use <= DateTime.UtcNow.Ticks;
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            use = known;
            return false;
        }
    }

    private void Remove(string path)
    {
        try
        {
            File.Delete(path);
            Volatile.Write(ref _evicted, _evicted + 1);
        }
        catch (DirectoryNotFoundException)
        {
            // Somebody cleared the folder.
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            faults.EndWrites(e);
        }
    }

    private void Publish()
    {
        Volatile.Write(ref _blocks, _index.Count);
        Volatile.Write(ref _bytes, _index.Bytes);
    }
}
