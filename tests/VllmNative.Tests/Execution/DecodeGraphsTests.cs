using VllmNative.Execution;
using Xunit;

namespace VllmNative.Tests.Execution;

public sealed class DecodeGraphsTests
{
    // The native library tunes by the same buckets (row_buckets.h): a batch that is padded to another one would run what was not timed.
    [Fact]
    public void Row_counts_are_bucketed_as_the_native_library_tunes_them()
    {
        int[] expected = [1, 2, 4, .. Enumerable.Range(1, 32).Select(i => 8 * i), 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2000];
        Assert.Equal(expected, DecodeGraphs.RowBuckets(2000));
        Assert.Equal([1, 2, 3], DecodeGraphs.RowBuckets(3));
        Assert.Equal([1], DecodeGraphs.RowBuckets(1));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 4)]
    [InlineData(33, 40)]
    [InlineData(257, 300)]
    [InlineData(301, 0)]
    public void A_batch_is_padded_to_the_next_bucket(int rows, int bucket)
    {
        using var graphs = new DecodeGraphs(maxSeqs: 300);
        Assert.Equal(bucket, graphs.BucketOf(rows));
    }
}
