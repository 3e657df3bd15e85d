using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>The checksum of a payload: every bit and every length counts.</summary>
public sealed class BlockChecksumTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(77)]
    public void Every_flipped_bit_shows(int length)
    {
        byte[] payload = DiskHarness.Payload(1, length);
        string intact = Of(payload);
        for (int bit = 0; bit < 8 * length; bit++)
        {
            payload[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.NotEqual(intact, Of(payload));
            payload[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void Words_that_change_places_show()
    {
        byte[] payload = DiskHarness.Payload(2, 96);
        string intact = Of(payload);
        for (int word = 1; word < 12; word++)
        {
            byte[] swapped = [.. payload];
            payload.AsSpan(0, 8).CopyTo(swapped.AsSpan(8 * word));
            payload.AsSpan(8 * word, 8).CopyTo(swapped);
            Assert.NotEqual(intact, Of(swapped));
        }
    }

    [Fact]
    public void It_is_what_earlier_versions_wrote()
    {
        // The check value of CRC-32C is that of "123456789" with the result inverted.
        var checksum = new byte[BlockChecksum.Size];
        BlockChecksum.Compute("123456789"u8, checksum);
        Assert.Equal(0xE3069283u, ~BitConverter.ToUInt32(checksum));
    }

    private static string Of(byte[] payload)
    {
        var checksum = new byte[BlockChecksum.Size];
        BlockChecksum.Compute(payload, checksum);
        return Convert.ToHexString(checksum);
    }
}
