using VllmNative.Cli.Options;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>Sizes read as vLLM's command line reads them.</summary>
public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("4096", 4096)]
    [InlineData("1k", 1000)]
    [InlineData("1K", 1024)]
    [InlineData("3m", 3_000_000)]
    [InlineData("512M", 512L << 20)]
    [InlineData("2g", 2_000_000_000)]
    [InlineData("1G", 1L << 30)]
    [InlineData("1t", 1_000_000_000_000)]
    [InlineData("2T", 2L << 40)]
    [InlineData("25.6k", 25_600)]
    [InlineData("1.0005k", 1000)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void Suffix_IsAPowerOf1000Or1024(string text, long expected)
    {
        Assert.True(ByteSize.TryParse(text, out long value, out string error), error);
        Assert.Equal(expected, value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("G")]
    [InlineData("-1")]
    [InlineData("1,5g")]
    [InlineData("1 G")]
    [InlineData("1GB")]
    [InlineData("1.5G")]
    [InlineData("1.5")]
    [InlineData("0x10")]
    [InlineData("1e9")]
    [InlineData("9223372036854775808")]
    [InlineData("8388608T")]
    [InlineData("99999999999999999999999999999999999t")]
    public void AnythingElse_IsRefusedByName(string text)
    {
        Assert.False(ByteSize.TryParse(text, out long value, out string error));
        Assert.Equal(0, value);
        Assert.Contains($"\"{text}\"", error, StringComparison.Ordinal);
    }
}
