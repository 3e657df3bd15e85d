using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>
/// The intermediate results of a step, as large as the largest step; every layer reuses them. The residual stream and what
/// is added to it have a type of their own.
/// </summary>
internal sealed class Activations : IDisposable
{
    private readonly DeviceBuffer _memory;

    internal Activations(Device device, DataType type, DataType residualType, int maxTokens, int hidden, int mergedQkv, int attended, int intermediate)
    {
        // Each piece starts on a 256-byte boundary.
        long offset = 0;
        long Reserve(long columns, DataType element)
        {
            long start = offset;
            offset += (maxTokens * columns * element.Size() + 255) / 256 * 256;
            return start;
        }

        long residual = Reserve(hidden, residualType);
        long delta = Reserve(hidden, residualType);
        long normed = Reserve(hidden, type);
        long qkv = Reserve(mergedQkv, type);
        long heads = Reserve(attended, type);
        long gateUp = Reserve(2L * intermediate, type);
        long activated = Reserve(intermediate, type);
        _memory = device.Allocate(offset);
        Residual = Tensor.Matrix(_memory.Data + (nint)residual, residualType, maxTokens, hidden);
        Delta = Tensor.Matrix(_memory.Data + (nint)delta, residualType, maxTokens, hidden);
        Normed = Tensor.Matrix(_memory.Data + (nint)normed, type, maxTokens, hidden);
        Qkv = Tensor.Matrix(_memory.Data + (nint)qkv, type, maxTokens, mergedQkv);
        Attended = Tensor.Matrix(_memory.Data + (nint)heads, type, maxTokens, attended);
        GateUp = Tensor.Matrix(_memory.Data + (nint)gateUp, type, maxTokens, 2L * intermediate);
        Activated = Tensor.Matrix(_memory.Data + (nint)activated, type, maxTokens, intermediate);
    }

    internal Tensor Residual { get; }

    internal Tensor Delta { get; }

    internal Tensor Normed { get; }

    internal Tensor Qkv { get; }

    internal Tensor Attended { get; }

    internal Tensor GateUp { get; }

    internal Tensor Activated { get; }

    internal long Bytes => _memory.Bytes;

    public void Dispose() => _memory.Dispose();
}
