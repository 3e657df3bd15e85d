namespace VllmNative.Cache.Disk;

/// <summary>A block file that is known to exist.</summary>
/// <param name="Model">Folder of the model that it belongs to.</param>
/// <param name="Bytes">What it takes on the disk.</param>
/// <param name="LastUse">When it was used last, in ticks.</param>
/// <param name="Scan">Number of the last scan that was begun when it was seen.</param>
internal readonly record struct DiskEntry(string Model, long Bytes, long LastUse, int Scan)
{
    // File systems give space in units of this.
    private const long Unit = 4096;

    /// <summary>What a file of this length takes on the disk.</summary>
    internal static long BytesOf(long fileLength) => (fileLength + Unit - 1) / Unit * Unit;
}
