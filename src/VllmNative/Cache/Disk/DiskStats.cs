namespace VllmNative.Cache.Disk;

/// <summary>What the disk tier has done and holds; each number is exact for itself, together they are a glance.</summary>
/// <param name="Blocks">Block files known under the root, other models' included.</param>
/// <param name="Bytes">What they take on the disk.</param>
/// <param name="Stored">Blocks written.</param>
/// <param name="Loaded">Blocks read and found intact.</param>
/// <param name="Missed">Blocks asked for that were not there or not intact.</param>
/// <param name="Damaged">Files removed because they were not the block that their name states.</param>
/// <param name="Evicted">Files removed for the budget.</param>
/// <param name="Writes">Whether blocks are still written: the first error of the disk ends that.</param>
internal readonly record struct DiskStats(
    long Blocks, long Bytes, long Stored, long Loaded, long Missed, long Damaged, long Evicted, bool Writes);
