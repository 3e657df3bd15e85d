using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The sampling settings of all request rows, in device memory.</summary>
internal sealed unsafe class SamplingTable : IDisposable
{
    private readonly Device _device;
    private readonly DeviceBuffer _memory;
    private readonly DeviceBuffer _staging;

    internal SamplingTable(Device device, int rows)
    {
        _device = device;
        Rows = rows;
        _memory = device.Allocate((long)rows * sizeof(SamplingRow));
        _staging = device.AllocateHost(sizeof(SamplingRow));
    }

    internal int Rows { get; }

    internal nint Data => _memory.Data;

    internal void Set(int row, in SamplingSettings settings)
    {
        *(SamplingRow*)_staging.Data = new SamplingRow
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
        _device.CopyToDevice(_memory.Data + (row * sizeof(SamplingRow)), _staging.Data, sizeof(SamplingRow));
        // The one staging entry is written again for the next row.
        _device.Synchronize();
    }

    public void Dispose()
    {
        _memory.Dispose();
        _staging.Dispose();
    }
}
