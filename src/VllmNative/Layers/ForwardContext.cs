using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>
/// One step as the model sees it: T tokens of R rows on a device. Everything was derived on the device from the batch's
/// state; the model adds activations and writes K/V.
/// </summary>
internal readonly struct ForwardContext
{
    internal required Device Device { get; init; }

    internal required KvPool Kv { get; init; }

    internal required Workspace Workspace { get; init; }

    internal required int NumTokens { get; init; }

    internal required int MaxQueryLength { get; init; }

    internal required int MaxSequenceLength { get; init; }

    /// <summary>Of rows with several tokens; 0 = <see cref="MaxSequenceLength"/>.</summary>
    internal required int MaxPrefillSequenceLength { get; init; }

    /// <summary>[T].</summary>
    internal required Tensor TokenIds { get; init; }

    /// <summary>[T], counted from the start of each request.</summary>
    internal required Tensor Positions { get; init; }

    /// <summary>[R + 1], first token of each row.</summary>
    internal required Tensor QueryStart { get; init; }

    /// <summary>[R], tokens in the cache after this step.</summary>
    internal required Tensor SequenceLengths { get; init; }

    /// <summary>[R, 4], request rows in column 0.</summary>
    internal required Tensor StepRows { get; init; }

    /// <summary>[T], where each token's K/V goes.</summary>
    internal required Tensor SlotMapping { get; init; }

    /// <summary>[request rows, blocks].</summary>
    internal required Tensor BlockTable { get; init; }
}
