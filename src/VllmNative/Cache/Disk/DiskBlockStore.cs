using System.Globalization;
using VllmNative.Diagnostics;

namespace VllmNative.Cache.Disk;

/// <summary>
/// KV blocks as files, under one root for any number of models and processes. The disk is the truth: files are looked for by
/// name, and the catalog only knows what to remove when the root outgrows its budget. Whatever is wrong with the disk, the
/// answer is "not there". For one thread; only <see cref="Stats"/> may be read by others.
/// </summary>
internal sealed class DiskBlockStore
{
    private readonly BlockPaths _paths;
    private readonly DiskFaults _faults;
    private readonly DiskCatalog _catalog;
    private long _lastUse;
    private long _stored;
    private long _loaded;
    private long _missed;

    /// <param name="root">Directory of all models' blocks; made when the first block is written.</param>
    /// <param name="fingerprint">Fingerprint of the model.</param>
    /// <param name="blockBytes">Bytes of a block.</param>
    /// <param name="budgetBytes">Most bytes of block files under the root.</param>
    /// <param name="log">Takes a line on the first damaged file, the first failed read, and the end of writes; may be null.</param>
    /// <exception cref="VllmException">The budget does not hold one block.</exception>
    internal DiskBlockStore(string root, in BlockHash fingerprint, int blockBytes, long budgetBytes, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(root);
        ArgumentOutOfRangeException.ThrowIfLessThan(blockBytes, 1);
        long fileBytes = DiskEntry.BytesOf(BlockFile.HeaderBytes + (long)blockBytes);
        if (budgetBytes < fileBytes)
        {
            throw new VllmException(string.Create(CultureInfo.InvariantCulture,
                $"the disk cache's budget is {budgetBytes} bytes, expected at least {fileBytes}, the file of one KV block"));
        }

        BlockBytes = blockBytes;
        _paths = new BlockPaths(root, fingerprint);
        _faults = new DiskFaults(log);
        _catalog = new DiskCatalog(_paths, fileBytes, budgetBytes, _faults);
    }

    /// <summary>Bytes of a block.</summary>
    internal int BlockBytes { get; }

    internal DiskStats Stats => new(
        _catalog.Blocks, _catalog.Bytes, Volatile.Read(ref _stored), Volatile.Read(ref _loaded),
        Volatile.Read(ref _missed), _faults.Damaged, _catalog.Evicted, _faults.Writes);

    /// <summary>
    /// Looks into one folder for blocks of earlier runs and other processes; false when there is nothing to look for until
    /// more is written. Meant for idle moments: blocks are read and written before it is through, too.
    /// </summary>
    internal bool Scan() => _catalog.Scan();

    /// <summary>
    /// Times of use for the blocks of a path, the first block's being the latest: a path loses its end before its beginning, without
    /// which the rest could not be used. Block i of n has time <c>result - i</c>.
    /// </summary>
    internal long NextUses(int blocks)
    {
        _lastUse = Math.Max(DateTime.UtcNow.Ticks, _lastUse) + blocks;
        return _lastUse;
    }

    /// <summary>Whether a block is there, by name and length; one that is not counts as missed.</summary>
    internal bool Has(in BlockHash hash)
    {
        bool there = IsThere(hash);
        Volatile.Write(ref _missed, _missed + (there ? 0 : 1));
        return there;
    }

    /// <summary>Writes a block unless it is there; false if it is not on the disk afterwards.</summary>
    /// <param name="hash">The block.</param>
    /// <param name="payload">Its bytes.</param>
    /// <param name="use">When it was used, of <see cref="NextUses"/>.</param>
    internal bool Write(in BlockHash hash, ReadOnlySpan<byte> payload, long use)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(payload.Length, BlockBytes);
        if (IsThere(hash))
        {
            MarkUsed(hash, use);
            return true;
        }

        if (!_faults.Writes || !_catalog.TryMakeRoom(use) || !TryWrite(hash, payload, use))
        {
            return false;
        }

        Volatile.Write(ref _stored, _stored + 1);
        _catalog.NoteWritten(hash, use);
        return true;
    }

    /// <summary>Reads a block; false if it is not there or not intact, and then the payload's bytes are arbitrary.</summary>
    /// <param name="hash">The block.</param>
    /// <param name="payload">Takes its bytes.</param>
    /// <param name="use">When it was used, of <see cref="NextUses"/>.</param>
    internal bool Read(in BlockHash hash, Span<byte> payload, long use)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(payload.Length, BlockBytes);
        BlockFileState state = TryRead(hash, payload, use);
        if (state == BlockFileState.Intact)
        {
            Volatile.Write(ref _loaded, _loaded + 1);
            _catalog.NoteUse(hash, use);
            return true;
        }

        if (state == BlockFileState.Damaged)
        {
            RemoveDamaged(_paths.FileOf(_paths.Model, hash));
        }

        Volatile.Write(ref _missed, _missed + 1);
        _catalog.Forget(hash);
        return false;
    }

    /// <summary>Notes the use of a block that is neither read nor written now, if it is known to be there.</summary>
    /// <param name="hash">The block.</param>
    /// <param name="use">When it was used, of <see cref="NextUses"/>.</param>
    internal void Mark(in BlockHash hash, long use)
    {
        if (_catalog.Knows(hash))
        {
            MarkUsed(hash, use);
        }
    }

    private void MarkUsed(in BlockHash hash, long use)
    {
        BlockFile.Touch(_paths.FileOf(_paths.Model, hash), TimeOf(use));
        _catalog.NoteUse(hash, use);
    }

    private static DateTime TimeOf(long use) => new(use, DateTimeKind.Utc);

    // By name and length: a file that turns out to be damaged is removed by its reader, and written again by the next writer.
    private bool IsThere(in BlockHash hash)
    {
        try
        {
            return _paths.HasFolderOf(hash) && BlockFile.Look(_paths.FileOf(_paths.Model, hash), BlockBytes) == BlockFileState.Intact;
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            _faults.NoteUnreadable(e);
            return false;
        }
    }

    private BlockFileState TryRead(in BlockHash hash, Span<byte> payload, long use)
    {
        try
        {
            return _paths.HasFolderOf(hash)
                ? BlockFile.Read(_paths.FileOf(_paths.Model, hash), hash, payload, TimeOf(use))
                : BlockFileState.Missing;
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            _faults.NoteUnreadable(e);
            return BlockFileState.Missing;
        }
    }

    // Readers never see half a block: the name appears when the bytes are all there.
    private bool TryWrite(in BlockHash hash, ReadOnlySpan<byte> payload, long use)
    {
        string temporary = _paths.TemporaryOf(hash);
        try
        {
            _paths.CreateFolderOf(hash);
            BlockFile.Write(temporary, hash, payload);
            BlockFile.Touch(temporary, TimeOf(use));
            File.Move(temporary, _paths.FileOf(_paths.Model, hash), overwrite: true);
            return true;
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            _faults.EndWrites(e);
            BlockFile.TryRemove(temporary);
            return false;
        }
    }

    private void RemoveDamaged(string path)
    {
        _faults.NoteDamaged(path);
        BlockFile.TryRemove(path);
    }
}
