namespace VllmNative.Cache.Disk;

/// <summary>
/// What a disk does wrong costs speed alone. The first fault of a kind is told in a line, since a disk with one has thousands;
/// after an error of writing nothing is written any more, since a full disk would fail every block.
/// </summary>
internal sealed class DiskFaults(Action<string>? log)
{
    private bool _writes = true;
    private bool _unreadableLogged;
    private long _damaged;

    /// <summary>Whether blocks are still written.</summary>
    internal bool Writes => Volatile.Read(ref _writes);

    /// <summary>Files that were not the block that their name states.</summary>
    internal long Damaged => Volatile.Read(ref _damaged);

    /// <summary>Whether an exception is the disk's doing, not a mistake of ours.</summary>
    internal static bool IsDisk(Exception error) => error is IOException or UnauthorizedAccessException;

    internal void EndWrites(Exception error)
    {
        if (_writes)
        {
            Volatile.Write(ref _writes, false);
            log?.Invoke("disk cache: nothing is written any more: " + OneLine(error));
        }
    }

    internal void NoteUnreadable(Exception error)
    {
        if (!_unreadableLogged)
        {
            _unreadableLogged = true;
            log?.Invoke("disk cache: a block could not be read and counts as missing, as will others without notice: " + OneLine(error));
        }
    }

    internal void NoteDamaged(string path)
    {
        if (_damaged == 0)
        {
            log?.Invoke($"disk cache: '{path}' was damaged and is removed; others will be without notice");
        }

        Volatile.Write(ref _damaged, _damaged + 1);
    }

    private static string OneLine(Exception error) => error.Message.ReplaceLineEndings(" ");
}
