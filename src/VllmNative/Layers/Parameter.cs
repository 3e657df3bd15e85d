using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>A small f32 vector of a model: a norm's weight, a bias, a table.</summary>
internal sealed class Parameter(DeviceBuffer buffer, int length) : IDisposable
{
    internal int Length => length;

    internal DeviceBuffer Buffer => buffer;

    internal Tensor Tensor => Tensor.Vector(buffer.Data, DataType.Float32, length);

    internal static Parameter Create(Device device, int length) => new(device.Allocate(length * sizeof(float)), length);

    internal static unsafe Parameter Of(Device device, ReadOnlySpan<float> values)
    {
        Parameter parameter = Create(device, values.Length);
        fixed (float* source = values)
        {
            Device.Load(parameter.Buffer, 0, DataType.Float32, (nint)source, DataType.Float32, values.Length);
        }

        return parameter;
    }

    public void Dispose() => buffer.Dispose();
}
