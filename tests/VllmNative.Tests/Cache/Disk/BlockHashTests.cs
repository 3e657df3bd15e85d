using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>Names of blocks: 32 bytes as a value and as text.</summary>
public sealed class BlockHashTests
{
    [Fact]
    public void Text_and_bytes_come_back()
    {
        byte[] bytes = [.. Enumerable.Range(200, 32).Select(i => (byte)i)];
        BlockHash hash = new(bytes);
        var copy = new byte[32];
        hash.CopyTo(copy);
        Assert.Equal(bytes, copy);
        Assert.Equal(Convert.ToHexStringLower(bytes), hash.ToString());
        Assert.True(BlockHash.TryParse(hash.ToString(), out BlockHash parsed));
        Assert.Equal(hash, parsed);
        Assert.Equal(hash.GetHashCode(), parsed.GetHashCode());
    }

    [Fact]
    public void Every_byte_counts_in_equality_and_order()
    {
        BlockHash zero = new(new byte[32]);
        for (int i = 0; i < 32; i++)
        {
            var bytes = new byte[32];
            bytes[i] = 1;
            BlockHash other = new(bytes);
            Assert.True(zero != other && !zero.Equals((object)other));
            Assert.True(zero.CompareTo(other) < 0 && other.CompareTo(zero) > 0);
        }

        Assert.Equal(0, zero.CompareTo(default));
    }

    [Theory]
    [InlineData("")]
    [InlineData("ab")]
    [InlineData("ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789")]
    [InlineData("gbcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789")]
    [InlineData("abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567890")]
    [InlineData("../def0123456789abcdef0123456789abcdef0123456789abcdef0123456789")]
    public void Other_text_is_no_hash(string text) => Assert.False(BlockHash.TryParse(text, out _));
}
