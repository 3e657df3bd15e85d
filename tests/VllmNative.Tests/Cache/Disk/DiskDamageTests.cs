using VllmNative.Cache.Disk;
using Xunit;
using static VllmNative.Tests.Cache.Disk.DiskHarness;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>A file that is not the block that its name states is a miss, is removed, and can be written again.</summary>
public sealed class DiskDamageTests : IDisposable
{
    private readonly DiskHarness _disk = new();

    public void Dispose() => _disk.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(BlockFile.HeaderBytes - 1)]
    [InlineData(BlockFile.HeaderBytes)]
    [InlineData(BlockFile.HeaderBytes + 1)]
    [InlineData(BlockFile.HeaderBytes + BlockBytes - 1)]
    [InlineData(BlockFile.HeaderBytes + BlockBytes + 1)]
    [InlineData(10 * BlockBytes)]
    public void Another_length(int length)
    {
        Check(bytes =>
        {
            Array.Resize(ref bytes, length);
            return bytes;
        });
    }

    [Fact]
    public void A_flipped_bit_anywhere_in_the_header()
    {
        for (int bit = 0; bit < 8 * BlockFile.HeaderBytes; bit++)
        {
            Check(bytes => Flip(bytes, bit));
        }
    }

    [Fact]
    public void A_flipped_bit_in_the_payload()
    {
        for (int bit = 8 * BlockFile.HeaderBytes; bit < 8 * (BlockFile.HeaderBytes + BlockBytes); bit += 331)
        {
            Check(bytes => Flip(bytes, bit));
        }

        Check(bytes => Flip(bytes, (8 * bytes.Length) - 1));
    }

    [Fact]
    public void Random_bytes()
    {
        Random random = new(11);
        for (int i = 0; i < 200; i++)
        {
            Check(bytes =>
            {
                var other = new byte[random.Next(2) == 0 ? bytes.Length : random.Next(2 * bytes.Length)];
                random.NextBytes(other);
                return other;
            });
        }
    }

    [Fact]
    public void Zeros_of_the_right_length() => Check(bytes => new byte[bytes.Length]);

    [Fact]
    public void Another_block()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 2);
        Check(_ => File.ReadAllBytes(_disk.FileOf(2)));
    }

    [Fact]
    public void A_block_of_another_size()
    {
        Write(_disk.Open(), 1);
        DiskBlockStore larger = _disk.Open(blockBytes: 2 * BlockBytes);
        Assert.False(larger.Read(Hash(1), new byte[2 * BlockBytes], larger.NextUses(1)));
        Assert.False(File.Exists(_disk.FileOf(1)));
    }

    [Fact]
    public void A_damaged_length_is_written_over()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        File.WriteAllBytes(_disk.FileOf(1), new byte[9]);
        Assert.True(Write(store, 1));
        Assert.True(Reads(store, 1));
    }

    [Fact]
    public void The_first_is_logged_and_all_are_counted()
    {
        DiskBlockStore store = _disk.Open();
        for (int i = 0; i < 5; i++)
        {
            Write(store, i);
            File.WriteAllBytes(_disk.FileOf(i), new byte[9]);
            Reads(store, i);
        }

        Assert.Equal($"disk cache: '{_disk.FileOf(0)}' was damaged and is removed; others will be without notice", Assert.Single(_disk.Log));
        Assert.Equal((5L, 5L, 0L), (store.Stats.Damaged, store.Stats.Missed, store.Stats.Blocks));
    }

    [Fact]
    public void A_link_in_place_of_a_file_is_removed_and_its_target_stays()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        string target = Path.Combine(_disk.Outside, "target");
        File.Move(_disk.FileOf(1), target);

        // A link is as long as the path in it: this one has the length of a block's file, and leads to an intact block.
        int slashes = BlockFile.HeaderBytes + BlockBytes - (target.Length - 1);
        File.CreateSymbolicLink(_disk.FileOf(1), _disk.Outside + new string('/', slashes) + "target");
        Assert.Equal(BlockFile.HeaderBytes + BlockBytes, new FileInfo(_disk.FileOf(1)).Length);
        Assert.False(Reads(store, 1));
        Assert.False(File.Exists(_disk.FileOf(1)));
        Assert.True(File.Exists(target));
    }

    [Fact]
    public void A_link_in_place_of_a_folder_is_not_followed()
    {
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        string folder = Path.GetDirectoryName(_disk.FileOf(1))!;
        string target = Path.Combine(_disk.Outside, "target");
        Directory.Move(folder, target);
        Directory.CreateSymbolicLink(folder, target);
        Assert.False(Reads(store, 1));

        DiskBlockStore next = _disk.Open(blocks: 1);
        ScanAll(next);
        Assert.Equal(0, next.Stats.Blocks);
        Assert.False(Write(next, 1));
        Assert.False(next.Stats.Writes);
        Assert.Contains("is a link", Assert.Single(_disk.Log), StringComparison.Ordinal);
        Assert.Single(Directory.GetFiles(target));
    }

    [Fact]
    public void A_pipe_in_place_of_a_file_does_not_block()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        DiskBlockStore store = _disk.Open();
        Write(store, 1);
        File.Delete(_disk.FileOf(1));
        using (var make = System.Diagnostics.Process.Start("mkfifo", _disk.FileOf(1)))
        {
            make.WaitForExit();
        }

        Assert.False(Reads(store, 1));
        Assert.True(Write(store, 1) && Reads(store, 1));
    }

    private static byte[] Flip(byte[] bytes, int bit)
    {
        bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        return bytes;
    }

    private void Check(Func<byte[], byte[]> damage)
    {
        DiskBlockStore store = _disk.Open();
        Assert.True(Write(store, 1) && Reads(store, 1));
        File.WriteAllBytes(_disk.FileOf(1), damage(File.ReadAllBytes(_disk.FileOf(1))));
        Assert.False(Reads(store, 1));
        Assert.False(File.Exists(_disk.FileOf(1)));
        Assert.Equal((1L, 0L, true), (store.Stats.Damaged, store.Stats.Blocks, store.Stats.Writes));
        Assert.True(Write(store, 1) && Reads(store, 1));
    }
}
