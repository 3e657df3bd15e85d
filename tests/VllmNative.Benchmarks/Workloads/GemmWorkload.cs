using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>y = x Wᵀ in bf16; weights take turns, so that none is in a cache from the call before.</summary>
internal sealed class GemmWorkload : IDisposable
{
    private const long BeyondCaches = 400L << 20;

    private readonly Device _device;
    private readonly Weight[] _weights;
    private readonly DeviceBuffer _memory;
    private readonly DeviceBuffer _workspaceMemory;
    private readonly Tensor _x;
    private readonly Tensor _y;
    private int _turn;

    internal GemmWorkload(int rows, int outputs, int columns, int threads = 0)
    {
        _device = Device.Create(DeviceKind.Cpu, 0, threads);
        WeightBytes = 2L * outputs * columns;
        Operations = 2.0 * rows * outputs * columns;
        _weights = new Weight[(BeyondCaches / WeightBytes) + 1];
        for (int i = 0; i < _weights.Length; i++)
        {
            _weights[i] = _device.CreateWeight(lookup: false, DataType.BFloat16, outputs, columns);
            _weights[i].Fill((ulong)i, 0.02f);
        }

        long xBytes = 2L * rows * columns;
        _memory = _device.Allocate(xBytes + (2L * rows * outputs) + 256);
        float[] values = [.. Enumerable.Range(0, rows * columns).Select(i => (i * 7919 % 2003 * 1e-3f) - 1)];
        Fill(_memory, values);
        _x = Tensor.Matrix(_memory.Data, DataType.BFloat16, rows, columns);
        _y = Tensor.Matrix(_memory.Data + (nint)((xBytes + 255) / 256 * 256), DataType.BFloat16, rows, outputs);
        _workspaceMemory = _device.Allocate(ModelOps.GemmWorkspace(_weights[0], DataType.BFloat16, rows));
    }

    internal long WeightBytes { get; }

    internal double Operations { get; }

    internal void Run()
    {
        Weight weight = _weights[_turn++ % _weights.Length];
        _device.Gemm(weight, _x, default, _y, new Workspace(_workspaceMemory.Data, _workspaceMemory.Bytes));
        _device.Synchronize();
    }

    public void Dispose()
    {
        foreach (Weight weight in _weights)
        {
            weight.Dispose();
        }

        _memory.Dispose();
        _workspaceMemory.Dispose();
        _device.Dispose();
    }

    private static unsafe void Fill(DeviceBuffer buffer, float[] values)
    {
        fixed (float* source = values)
        {
            Device.Load(buffer, 0, DataType.BFloat16, (nint)source, DataType.Float32, values.Length);
        }
    }
}
