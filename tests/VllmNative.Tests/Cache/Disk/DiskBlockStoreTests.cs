using VllmNative.Cache.Disk;
using VllmNative.Diagnostics;
using Xunit;
using static VllmNative.Tests.Cache.Disk.DiskHarness;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>Blocks come back as they were written, in this run and the next, here and in another process; or they are not there.</summary>
public sealed class DiskBlockStoreTests : IDisposable
{
    private readonly DiskHarness _disk = new();

    public void Dispose() => _disk.Dispose();

    [Fact]
    public void What_was_written_is_read()
    {
        DiskBlockStore store = _disk.Open();
        Assert.False(Reads(store, 1));
        Assert.True(Write(store, 1));
        Assert.True(Write(store, 2));
        Assert.True(Reads(store, 1) && Reads(store, 2));
        Assert.False(Reads(store, 3));
        Assert.Equal(new DiskStats(2, 2 * FileBytes, Stored: 2, Loaded: 2, Missed: 2, Damaged: 0, Evicted: 0, Writes: true), store.Stats);
        Assert.Empty(_disk.Log);
        Assert.Equal(new[] { _disk.FileOf(1), _disk.FileOf(2) }.Order(), _disk.Files().Order());
    }

    [Fact]
    public void A_block_that_is_there_is_not_written_again()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        byte[] other = Payload(2);
        Assert.True(store.Write(Hash(1), other, store.NextUses(1)));
        Assert.True(Reads(store, 1));
        Assert.Equal(1, store.Stats.Stored);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Blocks_survive_a_restart(bool scanFirst)
    {
        Write(_disk.Open(), 1);
        DiskBlockStore store = _disk.Open();
        if (scanFirst)
        {
            ScanAll(store);
            Assert.Equal((1L, FileBytes), (store.Stats.Blocks, store.Stats.Bytes));
        }

        Assert.True(Reads(store, 1));
        Assert.Equal((1L, FileBytes), (store.Stats.Blocks, store.Stats.Bytes));
    }

    [Fact]
    public void Two_stores_find_each_others_blocks()
    {
        DiskBlockStore one = _disk.Open();
        DiskBlockStore two = _disk.Open();
        Write(one, 1);
        Write(two, 2);
        Assert.True(Reads(two, 1) && Reads(one, 2));
        Assert.True(Write(two, 1));
        Assert.Equal(1, two.Stats.Stored);
    }

    [Fact]
    public void Two_stores_may_write_and_read_the_same_blocks_at_once()
    {
        Parallel.For(0, 4, worker =>
        {
            List<string> log = [];
            DiskBlockStore store = new(_disk.Root, Hash(-7), BlockBytes, 8 * FileBytes, log.Add);
            Random random = new(worker);
            for (int i = 0; i < 500; i++)
            {
                Write(store, random.Next(12));
                Reads(store, random.Next(12));
                store.Scan();
            }

            Assert.Empty(log);
            Assert.Equal((0L, true), (store.Stats.Damaged, store.Stats.Writes));
        });
        Assert.DoesNotContain(_disk.Files(), file => !file.EndsWith(".kv", StringComparison.Ordinal));
    }

    [Fact]
    public void Models_do_not_see_each_others_blocks()
    {
        Write(_disk.Open(model: 7), 1);
        Assert.False(Reads(_disk.Open(model: 8), 1));
        Assert.True(File.Exists(_disk.FileOf(1, model: 7)));
    }

    [Fact]
    public void A_budget_without_room_for_a_block_is_refused()
    {
        VllmException error = Assert.Throws<VllmException>(() => new DiskBlockStore(_disk.Root, Hash(0), BlockBytes, FileBytes - 1));
        Assert.Equal("the disk cache's budget is 4095 bytes, expected at least 4096, the file of one KV block", error.Message);
    }

    [Fact]
    public void Nobody_else_may_read_the_files()
    {
        Write(_disk.Open(), 1);
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no such modes");
        }
        else
        {
            const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            Assert.Equal(Owner, File.GetUnixFileMode(_disk.FileOf(1)));
            Assert.Equal(Owner | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.GetDirectoryName(_disk.FileOf(1))!));
        }
    }

    [Fact]
    public void No_file_stays_open()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc");
        DiskBlockStore store = _disk.Open(blocks: 5);
        for (int i = 0; i < 40; i++)
        {
            Write(store, i);
            Reads(store, i);
            File.WriteAllBytes(_disk.FileOf(i), Payload(i, i % 2 == 0 ? 10 : BlockBytes + BlockFile.HeaderBytes));
            Reads(store, i);
            store.Scan();
        }

        Assert.DoesNotContain(
            Directory.GetFiles("/proc/self/fd").Select(TargetOf), target => target.StartsWith(_disk.Outside, StringComparison.Ordinal));
    }

    // Tests beside this one close theirs at any time.
    private static string TargetOf(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, returnFinalTarget: false)?.FullName ?? "";
        }
        catch (IOException)
        {
            return "";
        }
    }
}
