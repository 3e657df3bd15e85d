using VllmNative.Cache.Disk;
using Xunit;
using static VllmNative.Tests.Cache.Disk.DiskHarness;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>A disk that refuses costs its blocks, one line of log, and nothing else.</summary>
public sealed class DiskErrorTests : IDisposable
{
    private readonly DiskHarness _disk = new();

    public void Dispose() => _disk.Dispose();

    [Theory]
    [InlineData("")]
    [InlineData("below/it")]
    public void A_root_that_cannot_be_a_directory_ends_writes_with_one_line(string below)
    {
        string file = Path.Combine(_disk.Outside, "file");
        File.WriteAllText(file, "");
        DiskBlockStore store = _disk.Open(root: Path.Combine(file, below));
        ScanAll(store);
        for (int i = 0; i < 3; i++)
        {
            Assert.False(Write(store, i));
            Assert.False(Reads(store, i));
        }

        Assert.StartsWith("disk cache: nothing is written any more: ", Assert.Single(_disk.Log), StringComparison.Ordinal);
        Assert.False(store.Stats.Writes);
        Assert.Equal((0L, 0L), (store.Stats.Blocks, store.Stats.Stored));
    }

    [Fact]
    public void Blocks_are_still_read_when_none_is_written()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        BlockWritesOf(2);
        Assert.False(Write(store, 2));
        Assert.False(Write(store, 3));
        Assert.True(Reads(store, 1));
        Assert.True(Write(store, 1));
        Assert.Single(_disk.Log);
    }

    [Fact]
    public void A_failed_write_leaves_nothing_behind()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);

        // Neither missing nor a file: the last step of a write, the renaming, fails.
        Directory.CreateDirectory(_disk.FileOf(2));
        Assert.False(Write(store, 2));
        Assert.Single(_disk.Log);
        Assert.Equal([_disk.FileOf(1)], _disk.Files());
    }

    [Fact]
    public void A_disk_without_room_ends_writes()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "needs /dev/full");
        DiskBlockStore store = _disk.Open();
        using FileStream full = new("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        IOException error = Assert.Throws<IOException>(() => full.Write(Payload(1)));
        Assert.True(DiskFaults.IsDisk(error));
        DiskFaults faults = new(_disk.Log.Add);
        faults.EndWrites(error);
        faults.EndWrites(error);
        Assert.Equal("disk cache: nothing is written any more: " + error.Message, Assert.Single(_disk.Log));
        Assert.False(faults.Writes);
    }

    [Fact]
    public void Removing_the_directory_under_a_running_store_is_survived()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        Directory.Delete(_disk.Root, recursive: true);
        Assert.False(Reads(store, 1));
        Assert.True(Write(store, 1) && Reads(store, 1));
        Directory.Delete(_disk.Root, recursive: true);
        Assert.True(Write(store, 2) && Reads(store, 2));
        Assert.Empty(_disk.Log);
    }

    [Fact]
    public void Eviction_survives_files_that_are_gone()
    {
        DiskBlockStore store = _disk.Open(blocks: 2);
        Write(store, 1);
        Write(store, 2);
        Directory.Delete(_disk.Root, recursive: true);
        Assert.True(Write(store, 3) && Write(store, 4) && Write(store, 5));
        Assert.Equal((2L, 2), (store.Stats.Blocks, _disk.Files().Length));
        Assert.Empty(_disk.Log);
    }

    [Fact]
    public void A_root_that_turns_into_a_circle_of_links_is_survived()
    {
        DiskBlockStore store = _disk.Open(blocks: 2);
        Write(store, 1);
        Write(store, 2);
        Assert.True(store.Scan());
        Directory.Delete(_disk.Root, recursive: true);
        File.CreateSymbolicLink(_disk.Root, _disk.Root);
        ScanAll(store);
        Assert.False(Reads(store, 1));
        Assert.False(Write(store, 3));
        Assert.False(store.Stats.Writes);
        Assert.True(_disk.Log.Count <= 2, string.Join('\n', _disk.Log));
    }

    // A file where the block's folder would be.
    private void BlockWritesOf(int seed) => File.WriteAllText(Path.GetDirectoryName(_disk.FileOf(seed))!, "");
}
