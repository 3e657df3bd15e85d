using VllmNative.Cache.Disk;
using VllmNative.Tests.Loading;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>A root in a temporary directory, and blocks whose bytes follow from their number.</summary>
internal sealed class DiskHarness : IDisposable
{
    internal const int BlockBytes = 3000;

    // Header and payload in whole units of 4 KiB.
    internal const long FileBytes = 4096;

    private readonly TempDirectory _temp = new();

    internal string Root => Path.Combine(_temp.Path, "root");

    internal string Outside => _temp.Path;

    internal List<string> Log { get; } = [];

    internal static BlockHash Hash(int seed)
    {
        var bytes = new byte[BlockHash.Size];
        new Random(seed).NextBytes(bytes);
        return new BlockHash(bytes);
    }

    internal static byte[] Payload(int seed, int length = BlockBytes)
    {
        var bytes = new byte[length];
        new Random(~seed).NextBytes(bytes);
        return bytes;
    }

    internal DiskBlockStore Open(long blocks = 1000, int model = 7, int blockBytes = BlockBytes, string? root = null) =>
        new(root ?? Root, Hash(-model), blockBytes, blocks * DiskEntry.BytesOf(BlockFile.HeaderBytes + blockBytes), Log.Add);

    internal static void ScanAll(DiskBlockStore store)
    {
        for (int i = 0; store.Scan(); i++)
        {
            Assert(i < 100_000, "the scan never ends");
        }
    }

    internal static bool Write(DiskBlockStore store, int seed) => store.Write(Hash(seed), Payload(seed), store.NextUses(1));

    /// <summary>Whether a block is found; throws if it is found with other bytes than were written.</summary>
    internal static bool Reads(DiskBlockStore store, int seed)
    {
        var bytes = new byte[BlockBytes];
        bool found = store.Read(Hash(seed), bytes, store.NextUses(1));
        Assert(!found || bytes.AsSpan().SequenceEqual(Payload(seed)), "a block came back with other bytes");
        return found;
    }

    internal string FileOf(int seed, int model = 7)
    {
        string hex = Hash(seed).ToString();
        return Path.Combine(Root, Hash(-model).ToString()[..16], hex[..2], hex[2..] + ".kv");
    }

    internal string[] Files() => Directory.Exists(Root) ? Directory.GetFiles(Root, "*", SearchOption.AllDirectories) : [];

    public void Dispose() => _temp.Dispose();

    private static void Assert(bool holds, string message) => Xunit.Assert.True(holds, message);
}
