using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>What the requests of a step change about their logits before penalties; absent tensors change nothing.</summary>
internal readonly struct LogitChanges
{
    /// <summary>[M] and [M, ceil(vocabulary / 32)]: logits rows and the ids that each allows.</summary>
    internal Tensor MaskRows { get; init; }

    internal Tensor MaskBits { get; init; }

    /// <summary>[E, 2] and [E]: values added to single logits.</summary>
    internal Tensor EditPositions { get; init; }

    internal Tensor EditValues { get; init; }

    internal bool Any => MaskBits.IsPresent || EditValues.IsPresent;

    internal void Apply(Device device, Tensor logits)
    {
        if (MaskBits.IsPresent)
        {
            device.MaskLogits(logits, MaskRows, MaskBits);
        }

        if (EditValues.IsPresent)
        {
            device.EditLogits(logits, EditPositions, EditValues);
        }
    }
}
