namespace VllmNative.Cache.Disk;

/// <summary>A block file that a scan came across.</summary>
/// <param name="Model">Folder of the model that it belongs to.</param>
/// <param name="Hash">The block that its name states.</param>
/// <param name="Length">Bytes of the file.</param>
/// <param name="LastUse">When it was written or read last, in ticks.</param>
internal readonly record struct ScannedFile(string Model, BlockHash Hash, long Length, long LastUse);
