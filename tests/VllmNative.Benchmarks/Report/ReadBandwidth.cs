using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Benchmarks.Report;

/// <summary>
/// Reads a buffer far larger than the caches with all threads. Memory is shared with whatever else runs on the machine and
/// its host, so that a figure bound by it is measured between rounds of this.
/// </summary>
internal sealed unsafe class ReadBandwidth : IDisposable
{
    /// <summary>Of one timed run; about as much as a product with one row reads: a longer one is disturbed more often.</summary>
    internal const long RunBytes = 16L << 20;

    private const long BufferBytes = 1L << 30;
    private const long PieceBytes = 256L << 10;
    private const int Rounds = 192;

    // The library's memory, so that pages are as large as those of weights.
    private readonly Device _device = Device.Create(DeviceKind.Cpu, 0, 1);
    private readonly DeviceBuffer _buffer;
    private readonly byte* _data;
    private readonly int _threads;
    private long _sink;

    internal ReadBandwidth(int threads)
    {
        _threads = threads;
        _buffer = _device.Allocate(BufferBytes);
        _data = (byte*)_buffer.Data;
        new Span<byte>(_data, 1 << 30).Fill(1);
    }

    public void Dispose()
    {
        _buffer.Dispose();
        _device.Dispose();
    }

    /// <summary>Seconds of each of some runs: the whole buffer three times.</summary>
    internal List<double> Read()
    {
        var times = new List<double>(Rounds);
        long next = 0;
        long end = 0;
        int round = 0;
        int busy = 0;
        long Take() => Interlocked.Add(ref next, PieceBytes) - PieceBytes;

        // Pieces are taken as they come, so that a slow thread does not hold the others up.
        void Work()
        {
            for (long at = Take(); at < end; at = Take())
            {
                Interlocked.Exchange(ref _sink, Sum(_data + at));
            }
        }

        // Helpers wait spinning: being woken would take longer than what is measured.
        void Help()
        {
            for (int seen = 0; seen < Rounds; seen++)
            {
                while (Volatile.Read(ref round) == seen)
                {
                    Thread.SpinWait(1);
                }

                Work();
                Interlocked.Decrement(ref busy);
            }
        }

        Thread[] helpers = [.. Enumerable.Range(1, _threads - 1).Select(_ => new Thread(Help))];
        Array.ForEach(helpers, helper => helper.Start());
        for (int i = 0; i < Rounds; i++)
        {
            next = i * RunBytes % BufferBytes;
            end = next + RunBytes;
            busy = helpers.Length;
            long start = Stopwatch.GetTimestamp();
            Interlocked.Increment(ref round);
            Work();
            while (Volatile.Read(ref busy) > 0)
            {
                Thread.SpinWait(1);
            }

            times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        Array.ForEach(helpers, helper => helper.Join());
        return times;
    }

    // Four places at once, as the kernels read panels, fetched ahead.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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
