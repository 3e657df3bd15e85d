using System.Runtime.InteropServices;
using VllmNative.Bindings;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Tensors;

/// <summary>KV blocks go to swap space and come back bit for bit, in the order that events ask for.</summary>
public sealed class SwapTests : IDisposable
{
    private const int DeviceBlocks = 12;
    private const int HostBlocks = 9;

    private static readonly KvGroup Group = new(Layers: 2, BlockSize: 16, KvHeads: 2, KeyDim: 24, ValueDim: 8, DataType.BFloat16);

    private readonly Device _device = Device.Create(TestDevice.Kind, 0, threads: 2);
    private readonly CopyStream _copies;
    private readonly KvPool _kv;
    private readonly HostKvPool _host;
    private readonly DeviceBuffer _staging;

    public SwapTests()
    {
        _copies = new CopyStream(_device);
        _kv = new KvPool(_device, Group, DeviceBlocks);
        _host = new HostKvPool(_device, Group, HostBlocks);
        _staging = _device.AllocateHost(_kv.Bytes);
    }

    private Span<byte> Staging => MemoryMarshal.CreateSpan(ref FirstByte(_staging), (int)_staging.Bytes);

    public void Dispose()
    {
        _staging.Dispose();
        _host.Dispose();
        _kv.Dispose();
        _copies.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void BlocksSwappedOutOverwrittenAndSwappedInHoldTheSameBits()
    {
        BlockPair[] swapOut = [new(3, 0), new(4, 1), new(5, 2), new(11, 8), new(0, 4)];
        BlockPair[] swapIn = [new(0, 7), new(1, 8), new(2, 9), new(8, 0), new(4, 3)];
        using var written = new DeviceEvent(_device);
        using var swappedOut = new DeviceEvent(_device);
        using var overwritten = new DeviceEvent(_device);
        using var swappedIn = new DeviceEvent(_device);

        byte[] original = new byte[_kv.Bytes];
        new Random(1).NextBytes(original);
        original.CopyTo(Staging);
        _device.CopyToDevice(_kv.Data, _staging.Data, _kv.Bytes);
        written.Record();
        _copies.WaitFor(written);
        _copies.SwapBlocks(SwapDirection.Out, swapOut, _kv, _host);
        _copies.Record(swappedOut);

        swappedOut.Synchronize(); // the staging memory is written by the host now
        byte[] other = new byte[_kv.Bytes];
        new Random(2).NextBytes(other);
        other.CopyTo(Staging);
        _device.WaitFor(swappedOut);
        _device.CopyToDevice(_kv.Data, _staging.Data, _kv.Bytes);
        overwritten.Record();
        _copies.WaitFor(overwritten);
        _copies.SwapBlocks(SwapDirection.In, swapIn, _kv, _host);
        _copies.Record(swappedIn);
        _device.WaitFor(swappedIn);
        _device.CopyToHost(_staging.Data, _kv.Data, _kv.Bytes);
        _device.Synchronize();

        Assert.True(swappedIn.HasHappened);
        byte[] expected = other;
        for (int i = 0; i < swapIn.Length; i++)
        {
            Assert.Equal(swapOut[i].Destination, swapIn[i].Source);
            Block(original, swapOut[i].Source).CopyTo(Block(expected, swapIn[i].Destination));
        }

        Assert.True(Staging.SequenceEqual(expected));
    }

    [Fact]
    public void EventThatWasNeverRecordedHasHappened()
    {
        using var point = new DeviceEvent(_device);
        Assert.True(point.HasHappened);
        point.Synchronize();
    }

    [Fact]
    public void BadPairsAreRefusedInWords()
    {
        var outside = Assert.Throws<NativeException>(() => Swap(SwapDirection.Out, new BlockPair(0, HostBlocks)));
        Assert.Equal(NativeStatus.InvalidArgument, outside.Status);
        Assert.Contains("block_swap: pairs[0] has destination block 9, expected 0..8", outside.Message, StringComparison.Ordinal);

        var twice = Assert.Throws<NativeException>(() => Swap(SwapDirection.In, new BlockPair(1, 5), new BlockPair(2, 5)));
        Assert.Contains("pairs[1] has destination block 5, as an earlier pair has", twice.Message, StringComparison.Ordinal);
        _copies.Synchronize();
    }

    [Fact]
    public void SwapSpaceOfOtherBlocksIsRefused()
    {
        using var other = new HostKvPool(_device, Group with { Layers = 1 }, HostBlocks);
        var error = Assert.Throws<ArgumentException>(() => _copies.SwapBlocks(SwapDirection.Out, [], _kv, other));
        Assert.Contains($"swap space has blocks of {other.Group.BlockBytes} bytes, expected the pool's {Group.BlockBytes}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LostDeviceIsNotTakenForOneThatIsNotDoneYet()
    {
        using var point = new DeviceEvent(_device);
        _copies.Record(point);
        _device.Inject("event_query", 1, "lost");
        var error = Assert.Throws<NativeException>(() => point.HasHappened);
        Assert.Equal(NativeStatus.DeviceLost, error.Status);
    }

    [Fact]
    public void SwappingAllocatesNothing()
    {
        using var point = new DeviceEvent(_device);
        BlockPair[] pairs = [new(3, 0), new(4, 1), new(7, 5)];
        Run(2_000); // until the optimising compiler has replaced the first code
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run(2_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Run(int times)
        {
            for (int i = 0; i < times; i++)
            {
                point.Record();
                _copies.WaitFor(point);
                _copies.SwapBlocks(SwapDirection.Out, pairs, _kv, _host);
                _copies.Record(point);
                _device.WaitFor(point);
                _ = point.HasHappened;
            }

            _copies.Synchronize();
        }
    }

    private static Span<byte> Block(byte[] pool, int block) => pool.AsSpan(block * (int)Group.BlockBytes, (int)Group.BlockBytes);

    private static unsafe ref byte FirstByte(DeviceBuffer buffer) => ref *(byte*)buffer.Data;

    private void Swap(SwapDirection direction, params BlockPair[] pairs) => _copies.SwapBlocks(direction, pairs, _kv, _host);
}
