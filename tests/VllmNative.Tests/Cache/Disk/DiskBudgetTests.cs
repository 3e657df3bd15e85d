using VllmNative.Cache.Disk;
using Xunit;
using static VllmNative.Tests.Cache.Disk.DiskHarness;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>A root stays within its budget, whoever wrote into it, and the least recently used goes first.</summary>
public sealed class DiskBudgetTests : IDisposable
{
    private readonly DiskHarness _disk = new();

    public void Dispose() => _disk.Dispose();

    [Fact]
    public void The_least_recently_used_goes_first()
    {
        DiskBlockStore store = _disk.Open(blocks: 3);
        Write(store, 1);
        Write(store, 2);
        Write(store, 3);
        Reads(store, 1);
        Write(store, 2);
        Write(store, 4);
        Assert.False(File.Exists(_disk.FileOf(3)));
        Assert.True(Reads(store, 1) && Reads(store, 2) && Reads(store, 4));
        Assert.Equal((3L, 3 * FileBytes, 1L), (store.Stats.Blocks, store.Stats.Bytes, store.Stats.Evicted));
        Assert.Empty(_disk.Log);
    }

    [Fact]
    public void The_order_of_use_survives_a_restart()
    {
        DiskBlockStore first = _disk.Open();
        for (int i = 0; i < 4; i++)
        {
            Write(first, i);
        }

        Reads(first, 0);
        DiskBlockStore store = _disk.Open(blocks: 2);
        ScanAll(store);
        Assert.True(Reads(store, 0) && Reads(store, 3));
        Assert.Equal(2, _disk.Files().Length);
    }

    [Fact]
    public void Use_by_another_process_counts()
    {
        DiskBlockStore one = _disk.Open(blocks: 3);
        Write(one, 1);
        Write(one, 2);
        Write(one, 3);
        Assert.True(Reads(_disk.Open(), 1));
        Write(one, 4);
        Assert.True(Reads(one, 1));
        Assert.False(Reads(one, 2));
    }

    [Fact]
    public void A_path_loses_its_end_first()
    {
        DiskBlockStore store = _disk.Open(blocks: 4);
        WritePath(store, 0, 4);
        WritePath(store, 10, 2);
        Assert.Equal([true, true, false, false], Enumerable.Range(0, 4).Select(i => File.Exists(_disk.FileOf(i))));
    }

    [Fact]
    public void A_path_longer_than_the_budget_keeps_its_beginning()
    {
        DiskBlockStore store = _disk.Open(blocks: 4);
        Assert.Equal(4, WritePath(store, 0, 10));
        Assert.Equal([0, 1, 2, 3], Enumerable.Range(0, 10).Where(i => File.Exists(_disk.FileOf(i))));
        Assert.Equal((4L, 0L), (store.Stats.Stored, store.Stats.Evicted));
    }

    [Fact]
    public void Other_models_blocks_go_too_and_their_folders_with_them()
    {
        DiskBlockStore old = _disk.Open(model: 8);
        Write(old, 1);
        Write(old, 2);
        DiskBlockStore store = _disk.Open(blocks: 2);
        ScanAll(store);
        Assert.Equal(2, store.Stats.Blocks);
        Write(store, 3);
        Write(store, 4);
        Assert.Equal(new[] { _disk.FileOf(3), _disk.FileOf(4) }.Order(), _disk.Files().Order());

        ScanAll(_disk.Open());
        Assert.Single(Directory.GetDirectories(_disk.Root));
    }

    [Fact]
    public void What_another_process_writes_is_counted_now_and_then()
    {
        const int Budget = 16;
        DiskBlockStore one = _disk.Open(Budget);
        DiskBlockStore two = _disk.Open(Budget);
        for (int i = 0; i < 200; i++)
        {
            Write(i % 2 == 0 ? one : two, i);
            ScanAll(one);
            ScanAll(two);

            // Each may have written an eighth since it looked last.
            Assert.True(_disk.Files().Length <= Budget + 4, $"{_disk.Files().Length} files after {i} writes");
            Assert.True(one.Stats.Blocks <= Budget && two.Stats.Blocks <= Budget);
        }
    }

    [Fact]
    public void Blocks_that_others_remove_do_not_stay_in_the_books()
    {
        DiskBlockStore store = _disk.Open(blocks: 4);
        ScanAll(store);
        Write(store, 1);
        Write(store, 2);
        Write(store, 3);
        File.Delete(_disk.FileOf(1));
        File.Delete(_disk.FileOf(2));
        ScanAll(store);
        Assert.Equal((1L, FileBytes), (store.Stats.Blocks, store.Stats.Bytes));
        Assert.True(Write(store, 1));
    }

    [Fact]
    public void Names_that_are_not_ours_stay()
    {
        DiskBlockStore store = _disk.Open(blocks: 1);
        Write(store, 1);
        string folder = Path.GetDirectoryName(_disk.FileOf(1))!;
        string name = Path.GetFileName(_disk.FileOf(2));
        string[] foreign =
        [
            Path.Combine(_disk.Root, "notes.txt"),
            Path.Combine(folder, "notes.kv"),
            Path.Combine(folder, name.ToUpperInvariant()),
            Path.Combine(folder, name + ".bak"),
            Path.Combine(folder, name[1..]),
            Path.Combine(folder, "." + name),
            Path.Combine(_disk.Root, "0123456789abcdeX", "ab", name),
            Path.Combine(_disk.Root, "0123456789abcdef", "abc", name),
        ];
        foreach (string path in foreign)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, "precious");
            File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch);
        }

        DiskBlockStore next = _disk.Open(blocks: 1);
        ScanAll(next);
        Assert.Equal(1, next.Stats.Blocks);
        Write(next, 3);
        Assert.All(foreign, path => Assert.Equal("precious", File.ReadAllText(path)));
        Assert.Empty(_disk.Log);
    }

    [Fact]
    public void What_a_dead_writer_left_is_removed_and_what_one_is_at_stays()
    {
        Write(_disk.Open(), 1);
        string stem = _disk.FileOf(1)[..^3];
        string dead = stem + ".0123456789abcdef00000001.tmp";
        string living = stem + ".0123456789abcdef00000002.tmp";
        File.WriteAllText(dead, "");
        File.WriteAllText(living, "");
        File.SetLastWriteTimeUtc(dead, DateTime.UtcNow.AddHours(-1));
        ScanAll(_disk.Open());
        Assert.Equal((false, true), (File.Exists(dead), File.Exists(living)));
    }

    [Fact]
    public void Times_ahead_of_the_clock_are_no_use()
    {
        DiskBlockStore first = _disk.Open();
        for (int i = 0; i < 3; i++)
        {
            Write(first, i);
            File.SetLastWriteTimeUtc(_disk.FileOf(i), DateTime.UtcNow.AddYears(10));
        }

        DiskBlockStore store = _disk.Open(blocks: 3);
        ScanAll(store);
        for (int i = 10; i < 13; i++)
        {
            Assert.True(Write(store, i));
        }

        Assert.True(Reads(store, 10) && Reads(store, 11) && Reads(store, 12));
    }

    [Fact]
    public void Marked_blocks_are_kept()
    {
        DiskBlockStore store = _disk.Open(blocks: 2);
        Write(store, 1);
        Write(store, 2);
        store.Mark(Hash(1), store.NextUses(1));
        store.Mark(Hash(9), store.NextUses(1));
        Write(store, 3);
        Assert.True(Reads(store, 1) && !Reads(store, 2));
        Assert.Equal(2, store.Stats.Blocks);
    }

    private static int WritePath(DiskBlockStore store, int first, int blocks)
    {
        long use = store.NextUses(blocks);
        return Enumerable.Range(0, blocks).Count(i => store.Write(Hash(first + i), Payload(first + i), use - i));
    }
}
