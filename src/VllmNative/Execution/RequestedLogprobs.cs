using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Log-probabilities of tokens that requests name. Only their logits are fetched, and that of the row's own token, whose
/// log-probability is known: the others' differ from it as the logits do. One gather for the step and a small one for each
/// sampled row, however large batch and vocabulary are. Each slot has memory of its own.
/// </summary>
internal sealed class RequestedLogprobs : IRequestedLogprobs, IDisposable
{
    private readonly Device _device;
    private readonly Slot[] _slots;
    private StepPlan? _plan;
    private int _slot;

    /// <param name="device">Where the logits lie.</param>
    /// <param name="slots">Steps in flight.</param>
    internal RequestedLogprobs(Device device, int slots)
    {
        _device = device;
        _slots = [.. Enumerable.Range(0, slots).Select(_ => new Slot(device))];
    }

    internal void Begin(StepPlan plan, int slot) => (_plan, _slot) = (plan, slot);

    public void Gather(Tensor logits, Tensor ids)
    {
        Slot slot = _slots[_slot];
        int count = WriteIndices(slot, (int)logits.Dim1);
        slot.Indices.Upload(count);
        Tensor all = Tensor.Matrix(logits.Data, DataType.Float32, logits.Dim0 * logits.Dim1, 1);
        _device.GatherRows(all, Tensor.Vector(slot.Indices.Data, DataType.Int32, count), Values(slot, 0, count));
        int at = 0;
        foreach (ref readonly RequestedIds asked in _plan!.RequestedIds.Span)
        {
            at += Rows(asked) * Width(asked);
            if (asked.Given.IsEmpty)
            {
                // Only the device knows which token this is.
                Tensor row = Tensor.Matrix(logits.At(asked.LogitsRow).Data, DataType.Float32, logits.Dim1, 1);
                _device.GatherRows(row, Tensor.Vector(ids.Data + (asked.LogitsRow * sizeof(int)), DataType.Int32, 1), Values(slot, at - 1, 1));
            }
        }

        slot.Values.Download(count);
    }

    /// <summary>Hands over what a slot's step has fetched; the result has the log-probabilities of the rows' own tokens.</summary>
    internal void Report(StepPlan plan, int slot, StepResult result)
    {
        if (plan.RequestedIds.Count == 0)
        {
            return;
        }

        int count = 0;
        foreach (ref readonly RequestedIds asked in plan.RequestedIds.Span)
        {
            count += Rows(asked) * asked.Ids.Length;
        }

        result.EnsureRequested(plan.NumLogits, count);
        ReadOnlySpan<float> values = _slots[slot].Values.Host;
        foreach (ref readonly RequestedIds asked in plan.RequestedIds.Span)
        {
            for (int i = 0; i < Rows(asked); i++)
            {
                int row = asked.LogitsRow + i;
                Span<float> logprobs = result.AddRequested(row, asked.Ids.Length);
                double normaliser = (double)values[asked.Ids.Length] - result.Logprobs[row];
                for (int k = 0; k < logprobs.Length; k++)
                {
                    logprobs[k] = (float)(values[k] - normaliser);
                }

                values = values[Width(asked)..];
            }
        }
    }

    public void Dispose()
    {
        foreach (Slot slot in _slots)
        {
            slot.Dispose();
        }
    }

    private static int Rows(in RequestedIds asked) => Math.Max(asked.Given.Length, 1);

    // The ids, and behind them the row's own token.
    private static int Width(in RequestedIds asked) => asked.Ids.Length + 1;

    private static Tensor Values(Slot slot, int first, int count) => Tensor.Matrix(slot.Values.Data + (first * sizeof(float)), DataType.Float32, count, 1);

    private int WriteIndices(Slot slot, int vocabulary)
    {
        int count = 0;
        foreach (ref readonly RequestedIds asked in _plan!.RequestedIds.Span)
        {
            count += Rows(asked) * Width(asked);
        }

        slot.Indices.EnsureCapacity(count);
        slot.Values.EnsureCapacity(count);
        Span<int> indices = slot.Indices.Host;
        int at = 0;
        foreach (ref readonly RequestedIds asked in _plan!.RequestedIds.Span)
        {
            for (int i = 0; i < Rows(asked); i++)
            {
                int first = checked((asked.LogitsRow + i) * vocabulary);
                foreach (int id in asked.Ids)
                {
                    indices[at++] = first + id;
                }

                indices[at++] = first + (asked.Given.IsEmpty ? 0 : asked.Given.Span[i]);
            }
        }

        return count;
    }

    private sealed class Slot(Device device) : IDisposable
    {
        internal StagedArray<int> Indices { get; } = new(device, 1);

        internal StagedArray<float> Values { get; } = new(device, 1);

        public void Dispose()
        {
            Indices.Dispose();
            Values.Dispose();
        }
    }
}
