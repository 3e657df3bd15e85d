using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>
/// A queue of copies that run beside the compute stream. Nothing orders the two but events: what a copy reads must have been
/// recorded by its writer and awaited here, and whoever uses what a copy wrote awaits an event recorded here.
/// </summary>
internal sealed class CopyStream : IDisposable
{
    private readonly StreamHandle _handle;

    internal CopyStream(Device device) => _handle = StreamHandle.Create(device.Handle, NativeConstants.StreamCopy);

    /// <summary>Marks the end of everything asked of the stream so far.</summary>
    internal void Record(DeviceEvent point) => Status.Check(NativeMethods.vn_event_record(point.Handle, _handle));

    /// <summary>Holds what is asked of the stream from now on until the event has happened, on the device.</summary>
    internal void WaitFor(DeviceEvent point) => Status.Check(NativeMethods.vn_event_wait(point.Handle, _handle));

    /// <summary>Blocks until everything asked of the stream so far is done.</summary>
    internal void Synchronize() => Status.Check(NativeMethods.vn_stream_synchronize(_handle));

    /// <summary>
    /// Moves blocks between the pool and swap space; pairs that are adjacent on both sides move as one. The pairs are read before
    /// this returns, the blocks later.
    /// </summary>
    /// <exception cref="NativeException">InvalidArgument: a block outside its pool or a destination named twice; nothing moves.</exception>
    internal unsafe void SwapBlocks(SwapDirection direction, ReadOnlySpan<BlockPair> pairs, KvPool kv, HostKvPool host)
    {
        if (kv.Group.BlockBytes != host.Group.BlockBytes)
        {
            throw new ArgumentException(
                $"block_swap: swap space has blocks of {host.Group.BlockBytes} bytes, expected the pool's {kv.Group.BlockBytes}", nameof(host));
        }

        fixed (BlockPair* first = pairs)
        {
            var p = new BlockSwapParams
            {
                Direction = direction == SwapDirection.Out ? NativeConstants.CopyDeviceToHost : NativeConstants.CopyHostToDevice,
                Pairs = (nint)first,
                NumPairs = pairs.Length,
                DevicePool = kv.Data,
                NumDeviceBlocks = kv.NumBlocks,
                HostPool = host.Data,
                NumHostBlocks = host.NumBlocks,
                BlockBytes = kv.Group.BlockBytes,
            };
            Status.Check(NativeMethods.vn_block_swap(_handle, &p));
        }
    }

    /// <summary>Waits for what the stream was asked: its pools are freed next.</summary>
    public void Dispose()
    {
        // Whatever it says: a lost device copies nothing any more.
        _ = NativeMethods.vn_stream_synchronize(_handle);
        _handle.Dispose();
    }
}
