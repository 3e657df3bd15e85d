using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>A piece of memory that a device can use, freed when it is disposed or collected.</summary>
internal sealed class DeviceBuffer : IDisposable
{
    private readonly BufferHandle _handle;

    internal DeviceBuffer(BufferHandle handle, long bytes)
    {
        _handle = handle;
        Data = handle.GetData();
        Bytes = bytes;
    }

    internal nint Data { get; }

    internal long Bytes { get; }

    internal BufferHandle Handle => _handle;

    public void Dispose() => _handle.Dispose();
}
