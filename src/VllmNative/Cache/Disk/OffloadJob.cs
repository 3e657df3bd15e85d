namespace VllmNative.Cache.Disk;

/// <summary>A block of a path and the host block that holds its bytes.</summary>
/// <param name="PathIndex">Index of the block on the path, from 0.</param>
/// <param name="HostBlock">Index of the host block.</param>
internal readonly record struct OffloadBlock(int PathIndex, int HostBlock);

/// <summary>Work for the <see cref="OffloadThread"/>. Its memory must not change until the result was taken.</summary>
/// <param name="Id">Whatever the caller knows it by.</param>
/// <param name="Tokens">Tokens of the path, full blocks only.</param>
/// <param name="Scope">Who may share the path.</param>
internal abstract record OffloadJob(long Id, ReadOnlyMemory<int> Tokens, PrefixScope Scope);

/// <summary>Writes blocks of a path that are not on the disk yet. The host blocks are read until the result comes.</summary>
/// <param name="Id">Whatever the caller knows it by.</param>
/// <param name="Tokens">Tokens of the path, full blocks only.</param>
/// <param name="Scope">Who may share the path.</param>
/// <param name="Blocks">Which blocks, in the order of the path.</param>
internal sealed record StoreJob(long Id, ReadOnlyMemory<int> Tokens, PrefixScope Scope, ReadOnlyMemory<OffloadBlock> Blocks)
    : OffloadJob(Id, Tokens, Scope);

/// <summary>Work that a request waits for: it goes before stores.</summary>
/// <inheritdoc cref="OffloadJob" path="/param"/>
internal abstract record ReadJob(long Id, ReadOnlyMemory<int> Tokens, PrefixScope Scope) : OffloadJob(Id, Tokens, Scope);

/// <summary>Looks how many consecutive blocks of a path, up to its end, there are; only names and lengths of files are looked at.</summary>
/// <param name="Id">Whatever the caller knows it by.</param>
/// <param name="Tokens">Tokens of the path, full blocks only.</param>
/// <param name="Scope">Who may share the path.</param>
/// <param name="FirstBlock">Index on the path of the first block to look for.</param>
internal sealed record FindJob(long Id, ReadOnlyMemory<int> Tokens, PrefixScope Scope, int FirstBlock) : ReadJob(Id, Tokens, Scope);

/// <summary>
/// Reads consecutive blocks of a path until one is missing. The host blocks are written until the result comes; those beyond the
/// number that was loaded hold anything.
/// </summary>
/// <param name="Id">Whatever the caller knows it by.</param>
/// <param name="Tokens">Tokens of the path, full blocks only.</param>
/// <param name="Scope">Who may share the path.</param>
/// <param name="FirstBlock">Index on the path of the first block to read.</param>
/// <param name="HostBlocks">Where they go, one after the other; as many as are wanted at most.</param>
internal sealed record LoadJob(long Id, ReadOnlyMemory<int> Tokens, PrefixScope Scope, int FirstBlock, ReadOnlyMemory<int> HostBlocks)
    : ReadJob(Id, Tokens, Scope);
