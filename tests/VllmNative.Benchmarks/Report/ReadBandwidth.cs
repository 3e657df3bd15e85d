using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace VllmNative.Benchmarks.Report;

/// <summary>Bytes a second that all threads together read from memory: sums over a buffer far larger than the caches.</summary>
internal static unsafe class ReadBandwidth
{
    private const long BufferBytes = 1L << 30;
    private const long PieceBytes = 1L << 20;

    // About as much as a product with one row reads: the longer a run, the more likely is that something disturbs it.
    private const long RunBytes = 32L << 20;
    private const int Rounds = 320;

    private static long _sink;

    internal static double Measure(int threads)
    {
        byte* data = (byte*)NativeMemory.AlignedAlloc((nuint)BufferBytes, 4096);
        try
        {
            new Span<byte>(data, 1 << 30).Fill(1);
            return RunBytes / Read(data, threads).Fast;
        }
        finally
        {
            NativeMemory.AlignedFree(data);
        }
    }

    private static Sample Read(byte* data, int threads)
    {
        var times = new List<double>();
        long next = 0;
        long end = 0;
        using var barrier = new Barrier(threads);
        void Work(int id)
        {
            for (int round = 0; round < Rounds; round++)
            {
                long start = 0;
                if (id == 0)
                {
                    next = round * RunBytes % BufferBytes;
                    end = next + RunBytes;
                    start = System.Diagnostics.Stopwatch.GetTimestamp();
                }

                barrier.SignalAndWait();
                // Pieces are taken as they come, so that a slow thread does not hold the others up.
                for (long at = Take(); at < end; at = Take())
                {
                    Interlocked.Exchange(ref _sink, Sum(data + at));
                }

                barrier.SignalAndWait();
                if (id == 0)
                {
                    times.Add(System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds);
                }
            }
        }

        long Take() => Interlocked.Add(ref next, PieceBytes) - PieceBytes;
        Thread[] helpers = [.. Enumerable.Range(1, threads - 1).Select(id => new Thread(() => Work(id)))];
        Array.ForEach(helpers, helper => helper.Start());
        Work(0);
        Array.ForEach(helpers, helper => helper.Join());
        return Sample.Of(times);
    }

    // Four places at once, as the kernels read panels, fetched ahead.
    private static long Sum(byte* piece)
    {
        const long quarter = PieceBytes / 4;
        Vector512<long> a = default, b = default, c = default, d = default;
        for (long i = 0; i < quarter; i += 64)
        {
            byte* at = piece + i;
            a ^= Vector512.LoadAligned((long*)at);
            b ^= Vector512.LoadAligned((long*)(at + quarter));
            c ^= Vector512.LoadAligned((long*)(at + (2 * quarter)));
            d ^= Vector512.LoadAligned((long*)(at + (3 * quarter)));
            if (Sse.IsSupported)
            {
                Sse.Prefetch0(at + 1024);
                Sse.Prefetch0(at + quarter + 1024);
                Sse.Prefetch0(at + (2 * quarter) + 1024);
                Sse.Prefetch0(at + (3 * quarter) + 1024);
            }
        }

        return Vector512.Sum(a ^ b ^ c ^ d);
    }
}
