using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Brings a step's results to the host: one copy, and an event to wait for. Each slot has host memory of its own.</summary>
internal sealed class StepReadback : IDisposable
{
    private readonly Device _device;
    private readonly int _maxRows;
    private readonly DeviceBuffer _memory;
    private readonly DeviceBuffer[] _host;
    private readonly DeviceEvent[] _arrived;

    internal StepReadback(Device device, int slots, int maxRows)
    {
        _device = device;
        _maxRows = maxRows;
        _memory = device.Allocate(StepOutputs.BytesFor(maxRows));
        _host = new DeviceBuffer[slots];
        _arrived = new DeviceEvent[slots];
        for (int i = 0; i < slots; i++)
        {
            _host[i] = device.AllocateHost(StepOutputs.BytesFor(maxRows));
            _arrived[i] = new DeviceEvent(device);
        }
    }

    /// <summary>Bytes of device memory.</summary>
    internal long Bytes => _memory.Bytes;

    /// <summary>Where the device writes; the stream orders the next step behind the copy of the last.</summary>
    internal StepOutputs OnDevice => new(_memory.Data, _maxRows);

    /// <summary>Starts the copy of what the stream has computed by then.</summary>
    /// <param name="slot">The step's.</param>
    /// <param name="topLogprobs">Width of the step's top ids; -1 = it has no log-probabilities.</param>
    internal void Start(int slot, int topLogprobs)
    {
        _device.CopyToHost(_host[slot].Data, _memory.Data, StepOutputs.BytesUsed(_maxRows, topLogprobs));
        _arrived[slot].Record();
    }

    /// <summary>Waits for the slot's results.</summary>
    internal StepOutputs Wait(int slot)
    {
        _arrived[slot].Synchronize();
        return new StepOutputs(_host[slot].Data, _maxRows);
    }

    /// <summary>Reads what a step brought into its result.</summary>
    internal static void Read(StepPlan plan, StepResult result, StepOutputs host)
    {
        result.Begin(plan.StepId);
        int rows = plan.Rows.Count;
        int samples = plan.NumLogits;
        ReadOnlySpan<int> rowFlags = StepOutputs.Ints(host.RowFlags, rows);
        ReadOnlySpan<int> ids = StepOutputs.Ints(host.Ids, samples);
        ReadOnlySpan<int> flags = StepOutputs.Ints(host.Flags, samples);
        int sample = 0;
        for (int row = 0; row < rows; row++)
        {
            int count = plan.Rows[row].LogitCount;
            int status = rowFlags[row];
            // Rows whose ids are given belong to no request: nothing was sampled there.
            for (int i = plan.Rows[row].GivenCount; i < count; i++)
            {
                status |= flags[sample + i];
            }

            result.SetRow(row, (RowStatus)status, ids.Slice(sample, count));
            sample += count;
        }

        int top = plan.MaxTopLogprobs;
        if (top >= 0)
        {
            result.EnsureTop(top, samples);
            StepOutputs.Floats(host.Logprobs, samples).CopyTo(result.Logprobs);
            StepOutputs.Ints(host.Ranks, samples).CopyTo(result.Ranks);
            StepOutputs.Ints(host.TopIds, samples * top).CopyTo(result.TopIds);
            StepOutputs.Floats(host.TopLogprobs(top), samples * top).CopyTo(result.TopLogprobs);
        }
    }

    public void Dispose()
    {
        foreach (DeviceEvent arrived in _arrived)
        {
            arrived.Dispose();
        }

        foreach (DeviceBuffer host in _host)
        {
            host.Dispose();
        }

        _memory.Dispose();
    }
}
