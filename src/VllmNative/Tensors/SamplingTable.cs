using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The sampling settings of all request rows, in device memory.</summary>
internal sealed unsafe class SamplingTable : IDisposable
{
    private readonly Device _device;
    private readonly DeviceBuffer _memory;
    private readonly DeviceBuffer _staging;

    /// <param name="device">Where the table lies.</param>
    /// <param name="rows">Request rows.</param>
    /// <param name="slots">Steps in flight: each has staging memory of its own.</param>
    internal SamplingTable(Device device, int rows, int slots)
    {
        _device = device;
        Rows = rows;
        _memory = device.Allocate((long)rows * sizeof(SamplingRow));
        _staging = device.AllocateHost((long)slots * rows * sizeof(SamplingRow));
    }

    internal int Rows { get; }

    /// <summary>Bytes of device memory.</summary>
    internal long Bytes => _memory.Bytes;

    internal nint Data => _memory.Data;

    /// <summary>Changes a row for the step in a slot and those behind it.</summary>
    internal void Set(int slot, int row, in SamplingSettings settings)
    {
        var staged = (SamplingRow*)_staging.Data + ((long)slot * Rows) + row;
        *staged = new SamplingRow
        {
            Seed = settings.Seed,
            Temperature = settings.Temperature,
            TopP = settings.TopP,
            MinP = settings.MinP,
            TopK = settings.TopK,
            PresencePenalty = settings.PresencePenalty,
            FrequencyPenalty = settings.FrequencyPenalty,
            RepetitionPenalty = settings.RepetitionPenalty,
            CountSlot = settings.CountSlot,
        };
        _device.CopyToDevice(_memory.Data + (row * sizeof(SamplingRow)), (nint)staged, sizeof(SamplingRow));
    }

    public void Dispose()
    {
        _memory.Dispose();
        _staging.Dispose();
    }
}
