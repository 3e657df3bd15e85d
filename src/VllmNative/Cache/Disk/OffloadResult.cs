namespace VllmNative.Cache.Disk;

/// <summary>The end of a job: its host blocks are the caller's again.</summary>
/// <param name="Id">The job's id.</param>
/// <param name="IsLoad">Whether it was a <see cref="LoadJob"/>.</param>
/// <param name="Blocks">Blocks loaded, from the first; or blocks of a store that are on the disk now.</param>
internal readonly record struct OffloadResult(long Id, bool IsLoad, int Blocks);
