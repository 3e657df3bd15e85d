using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>
/// Ids that are not sampled but known, because the prompt goes on with them: their log-probabilities are wanted. They take the
/// place of what was drawn for their rows. Each slot has host memory of its own.
/// </summary>
internal sealed unsafe class GivenIds : IDisposable
{
    private readonly Device _device;
    private readonly int _maxRows;
    private readonly DeviceBuffer _host;
    private readonly List<(int Row, int Count)> _runs = [];
    private int _slot;

    /// <param name="device">Where the sampled ids lie.</param>
    /// <param name="slots">Steps in flight.</param>
    /// <param name="maxRows">Logits rows of a step.</param>
    internal GivenIds(Device device, int slots, int maxRows)
    {
        _device = device;
        _maxRows = maxRows;
        _host = device.AllocateHost((long)slots * maxRows * sizeof(int));
    }

    internal void Begin(int slot)
    {
        _slot = slot;
        _runs.Clear();
    }

    /// <summary>Gives consecutive logits rows their ids.</summary>
    internal void Add(int row, ReadOnlySpan<int> ids)
    {
        if (row + ids.Length > _maxRows)
        {
            throw new InvalidOperationException($"a step gives ids for {row + ids.Length} rows of logits, {_maxRows} were planned");
        }

        ids.CopyTo(new Span<int>((void*)HostOf(row), ids.Length));
        _runs.Add((row, ids.Length));
    }

    /// <summary>Writes them over the sampled ids on the device.</summary>
    internal void Place(nint sampledIds)
    {
        foreach ((int row, int count) in _runs)
        {
            _device.CopyToDevice(sampledIds + (row * sizeof(int)), HostOf(row), (long)count * sizeof(int));
        }
    }

    public void Dispose() => _host.Dispose();

    private nint HostOf(int row) => _host.Data + (nint)((((long)_slot * _maxRows) + row) * sizeof(int));
}
