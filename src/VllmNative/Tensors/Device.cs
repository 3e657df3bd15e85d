using System.Text;
using VllmNative.Bindings;
using VllmNative.Diagnostics;

namespace VllmNative.Tensors;

/// <summary>
/// One logical worker: a native device and its compute stream. The operations are extension methods in the files beside this
/// one (ModelOps, BatchOps, SamplingOps). One thread at a time may use it.
/// </summary>
internal sealed class Device : IDisposable
{
    private readonly DeviceHandle _handle;
    private readonly StreamHandle _compute;

    // Why CUDA cannot be used any more in this process; null while it can.
    private static volatile string? s_cudaLost;

    private Device(DeviceHandle handle, DeviceKind kind)
    {
        _handle = handle;
        Kind = kind;
        _compute = StreamHandle.Create(handle, NativeConstants.StreamCompute);
    }

    internal DeviceKind Kind { get; }

    internal DeviceHandle Handle => _handle;

    internal StreamHandle Stream => _compute;

    /// <param name="kind">What computes.</param>
    /// <param name="ordinal">Which of several.</param>
    /// <param name="threads">CPU threads; 0 = one for each core.</param>
    /// <param name="deterministic">Whether results must not depend on the batch; the CPU's never do.</param>
    /// <param name="serialKernels">Whether no kernel of a GPU begins before the one ahead of it has ended; for measuring.</param>
    /// <exception cref="NativeException">NoDevice: the message says what was looked for and why it is not there.</exception>
    internal static Device Create(DeviceKind kind, int ordinal, int threads, bool deterministic = false, bool serialKernels = false)
    {
        if (kind == DeviceKind.Cuda && s_cudaLost is { } reason)
        {
            throw new NativeException(NativeStatus.DeviceLost, $"device_create: CUDA is lost for this process ({reason}); start a new process");
        }

        var options = new DeviceOptions
        {
            NumThreads = threads,
            Deterministic = deterministic ? 1 : 0,
            SerialKernels = serialKernels ? 1 : 0,
        };
        int native = kind == DeviceKind.Cuda ? NativeConstants.DeviceCuda : NativeConstants.DeviceCpu;
        return new Device(DeviceHandle.Create(native, ordinal, options), kind);
    }

    /// <summary>Nobody may use the device again; a GPU takes CUDA with it, for the whole process.</summary>
    internal void DeclareLost(string reason)
    {
        if (Kind == DeviceKind.Cuda)
        {
            s_cudaLost = reason;
        }
    }

    /// <summary>Notes a failure that means that the device is lost; any other is nothing.</summary>
    internal void NoteFailure(Exception error)
    {
        if (error is NativeException { Status: NativeStatus.DeviceLost })
        {
            DeclareLost(error.Message);
        }
    }

    internal DeviceDescription Describe()
    {
        DeviceInfo info = _handle.GetInfo();
        ReadOnlySpan<byte> name = info.Name;
        int end = name.IndexOf((byte)0);
        return new DeviceDescription(
            Kind,
            Encoding.UTF8.GetString(end < 0 ? name : name[..end]),
            info.NumThreads,
            info.Capability,
            info.TotalMemory,
            info.FreeMemory,
            (info.Flags & NativeConstants.DeviceHasGraphs) != 0,
            (info.Flags & NativeConstants.DeviceBatchInvariant) != 0,
            (info.Flags & NativeConstants.DeviceHasFP8) != 0);
    }

    /// <summary>Zeroed device memory.</summary>
    internal DeviceBuffer Allocate(long bytes) => new(BufferHandle.Create(_handle, NativeConstants.MemoryDevice, bytes), bytes);

    /// <summary>Zeroed host memory that the device copies from and to at full speed.</summary>
    internal DeviceBuffer AllocateHost(long bytes) => new(BufferHandle.Create(_handle, NativeConstants.MemoryHost, bytes), bytes);

    internal Weight CreateWeight(bool lookup, DataType type, long rows, long columns)
    {
        int use = lookup ? NativeConstants.WeightLookup : NativeConstants.WeightGemm;
        return new Weight(WeightHandle.Create(_handle, use, (int)type, rows, columns), type, rows, columns);
    }

    /// <summary>Converts host floats into a buffer; offset counts elements of <paramref name="type"/>.</summary>
    internal static void Load(DeviceBuffer buffer, long offset, DataType type, nint source, DataType sourceType, long count) =>
        Status.Check(NativeMethods.vn_buffer_load(buffer.Handle, offset, (int)type, source, (int)sourceType, count));

    internal void CopyToDevice(nint destination, nint source, long bytes) => Copy(destination, source, bytes, NativeConstants.CopyHostToDevice);

    internal void CopyToHost(nint destination, nint source, long bytes) => Copy(destination, source, bytes, NativeConstants.CopyDeviceToHost);

    internal void CopyOnDevice(nint destination, nint source, long bytes) => Copy(destination, source, bytes, NativeConstants.CopyDeviceToDevice);

    internal void Synchronize() => Status.Check(NativeMethods.vn_stream_synchronize(_compute));

    /// <summary>Holds what is asked of the compute stream from now on until the event has happened, on the device.</summary>
    internal void WaitFor(DeviceEvent point) => Status.Check(NativeMethods.vn_event_wait(point.Handle, _compute));

    public void Dispose()
    {
        _compute.Dispose();
        _handle.Dispose();
    }

    private void Copy(nint destination, nint source, long bytes, int direction) =>
        Status.Check(NativeMethods.vn_copy(_compute, destination, source, bytes, direction));
}
