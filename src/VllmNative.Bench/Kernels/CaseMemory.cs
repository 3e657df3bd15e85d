using VllmNative.Tensors;

namespace VllmNative.Bench.Kernels;

/// <summary>The device memory of one case, freed when the case is done.</summary>
internal sealed unsafe class CaseMemory(Device device) : IDisposable
{
    private readonly Stack<IDisposable> _owned = new();

    /// <summary>Zeroed memory.</summary>
    internal nint Allocate(long bytes) => Own(device.Allocate(bytes)).Data;

    /// <summary>Random bf16 values.</summary>
    internal nint AllocateRandom(long bytes)
    {
        nint data = Allocate(bytes);
        using var random = new RandomSource(device);
        random.Fill(data, bytes);
        return data;
    }

    internal nint Upload<T>(params ReadOnlySpan<T> values)
        where T : unmanaged
    {
        long bytes = (long)values.Length * sizeof(T);
        nint data = Allocate(bytes);
        using DeviceBuffer host = device.AllocateHost(bytes);
        values.CopyTo(new Span<T>((void*)host.Data, values.Length));
        device.CopyToDevice(data, host.Data, bytes);
        device.Synchronize();
        return data;
    }

    internal Tensor Ints(int rows, int columns, Func<int, int, int> value)
    {
        int[] values = new int[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = value(i / columns, i % columns);
        }

        return Tensor.Matrix(Upload<int>(values), DataType.Int32, rows, columns);
    }

    internal Tensor Ints(int count, Func<int, int> value) => Tensor.Vector(Ints(count, 1, (row, _) => value(row)).Data, DataType.Int32, count);

    internal T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Push(owned);
        return owned;
    }

    public void Dispose()
    {
        while (_owned.TryPop(out IDisposable? last))
        {
            last.Dispose();
        }
    }
}
