namespace VllmNative.Cache.Disk;

/// <summary>Which job has ended.</summary>
internal enum OffloadResultKind
{
    /// <summary>A <see cref="FindJob"/>.</summary>
    Found,

    /// <summary>A <see cref="LoadJob"/>.</summary>
    Loaded,

    /// <summary>A <see cref="StoreJob"/>.</summary>
    Stored,
}

/// <summary>The end of a job: its host blocks are the caller's again.</summary>
/// <param name="Id">The job's id.</param>
/// <param name="Kind">Which job.</param>
/// <param name="Blocks">Blocks found or loaded, from the first; or blocks of a store that are on the disk now.</param>
internal readonly record struct OffloadResult(long Id, OffloadResultKind Kind, int Blocks);
