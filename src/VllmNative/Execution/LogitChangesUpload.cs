using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Uploads a plan's logit masks and edits; apart from the rest of the step, because how many there are is not bounded by the batch.</summary>
internal sealed class LogitChangesUpload : IDisposable
{
    private readonly Slot[] _slots;
    private readonly int _maxRows;

    /// <param name="device">Where to.</param>
    /// <param name="slots">Steps in flight: each has memory of its own.</param>
    /// <param name="maxRows">Logits rows of a step.</param>
    internal LogitChangesUpload(Device device, int slots, int maxRows)
    {
        _maxRows = maxRows;
        _slots = [.. Enumerable.Range(0, slots).Select(_ => new Slot(device, edits: maxRows * 4))];
    }

    /// <summary>Absent tensors for what nobody asks for.</summary>
    internal LogitChanges Upload(StepPlan plan, int slot)
    {
        if (plan.LogitEdits.Count == 0 && plan.LogitMasks.Count == 0)
        {
            return default;
        }

        (Tensor positions, Tensor values) = UploadEdits(plan, _slots[slot]);
        (Tensor rows, Tensor bits) = UploadMasks(plan, _slots[slot]);
        return new LogitChanges { EditPositions = positions, EditValues = values, MaskRows = rows, MaskBits = bits };
    }

    public void Dispose()
    {
        foreach (Slot slot in _slots)
        {
            slot.Dispose();
        }
    }

    private static (Tensor Positions, Tensor Values) UploadEdits(StepPlan plan, Slot slot)
    {
        int count = plan.LogitEdits.Count;
        if (count == 0)
        {
            return default;
        }

        slot.EditPositions.EnsureCapacity(count * 2);
        slot.EditValues.EnsureCapacity(count);
        Span<int> positions = slot.EditPositions.Host;
        Span<float> values = slot.EditValues.Host;
        for (int i = 0; i < count; i++)
        {
            ref readonly LogitEdit edit = ref plan.LogitEdits[i];
            (positions[2 * i], positions[(2 * i) + 1], values[i]) = (edit.LogitsRow, edit.TokenId, edit.Value);
        }

        slot.EditPositions.Upload(count * 2);
        slot.EditValues.Upload(count);
        return (Tensor.Matrix(slot.EditPositions.Data, DataType.Int32, count, 2), Tensor.Vector(slot.EditValues.Data, DataType.Float32, count));
    }

    private (Tensor Rows, Tensor Bits) UploadMasks(StepPlan plan, Slot slot)
    {
        int count = plan.LogitMasks.Count;
        if (count == 0)
        {
            return default;
        }

        int words = plan.LogitMasks[0].Bits.Length;
        // Once, when somebody first asks: masks are wide, and few engines need them.
        slot.MaskRows.EnsureCapacity(_maxRows);
        slot.MaskBits.EnsureCapacity(_maxRows * words);
        for (int i = 0; i < count; i++)
        {
            slot.MaskRows.Host[i] = plan.LogitMasks[i].LogitsRow;
            plan.LogitMasks[i].Bits.Span.CopyTo(slot.MaskBits.Host[(i * words)..]);
        }

        slot.MaskRows.Upload(count);
        slot.MaskBits.Upload(count * words);
        return (Tensor.Vector(slot.MaskRows.Data, DataType.Int32, count), Tensor.Matrix(slot.MaskBits.Data, DataType.Int32, count, words));
    }

    private sealed class Slot(Device device, int edits) : IDisposable
    {
        internal StagedArray<int> EditPositions { get; } = new(device, edits * 2);

        internal StagedArray<float> EditValues { get; } = new(device, edits);

        internal StagedArray<int> MaskRows { get; } = new(device, 1);

        internal StagedArray<int> MaskBits { get; } = new(device, 1);

        public void Dispose()
        {
            EditPositions.Dispose();
            EditValues.Dispose();
            MaskRows.Dispose();
            MaskBits.Dispose();
        }
    }
}
