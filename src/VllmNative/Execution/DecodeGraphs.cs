using System.Numerics;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Batch sizes that decode steps are padded to, and a recorded graph for each. Eager steps are padded alike, so that a
/// replayed step computes the same bits.
/// </summary>
internal sealed class DecodeGraphs : IDisposable
{
    // Beyond this many rows a step takes so long that launching it operation by operation costs nothing.
    private const int MaxRows = 512;

    private readonly int[] _buckets;
    private readonly DeviceGraph?[] _graphs;

    /// <param name="maxSeqs">Most rows of a step.</param>
    internal DecodeGraphs(int maxSeqs)
    {
        _buckets = [.. RowBuckets(Math.Min(maxSeqs, MaxRows))];
        _graphs = new DeviceGraph?[_buckets.Length];
    }

    /// <summary>Smallest first.</summary>
    internal ReadOnlySpan<int> Buckets => _buckets;

    /// <summary>
    /// Row counts that share a choice of how products are computed, as at vn_gemm_tune: 1, 2, 4, 8, multiples of 8 up to 256, then
    /// four between each power of two and the next. The last is the most rows that there can be.
    /// </summary>
    internal static IEnumerable<int> RowBuckets(int most)
    {
        for (int size = 1; size < most; size = Next(size))
        {
            yield return size;
        }

        yield return most;

        static int Next(int size) => size switch
        {
            < 8 => size * 2,
            < 256 => size + 8,
            _ => size + ((int)BitOperations.RoundUpToPowerOf2((uint)size + 1) / 8),
        };
    }

    /// <summary>The batch size that so many rows are padded to; 0 = too many for a bucket.</summary>
    internal int BucketOf(int rows)
    {
        int index = IndexOf(rows);
        return index < _buckets.Length ? _buckets[index] : 0;
    }

    /// <summary>Records one bucket's forward pass. Everything that it launches must have run once before.</summary>
    internal void Record(Device device, int bucket, Action forward)
    {
        int index = IndexOf(bucket);
        _graphs[index]?.Dispose();
        _graphs[index] = null;
        _graphs[index] = DeviceGraph.Record(device, forward);
    }

    /// <summary>Launches the bucket's graph; false when none was recorded.</summary>
    internal bool TryLaunch(int bucket)
    {
        if (_graphs[IndexOf(bucket)] is not { } graph)
        {
            return false;
        }

        graph.Launch();
        return true;
    }

    public void Dispose()
    {
        for (int i = 0; i < _graphs.Length; i++)
        {
            _graphs[i]?.Dispose();
            _graphs[i] = null;
        }
    }

    private int IndexOf(int rows)
    {
        int index = Array.BinarySearch(_buckets, rows);
        return index >= 0 ? index : ~index;
    }
}
