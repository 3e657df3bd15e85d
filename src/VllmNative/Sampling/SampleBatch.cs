using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>What a step samples: S rows of logits and how their requests want them treated.</summary>
internal readonly struct SampleBatch
{
    /// <summary>[S, vocabulary] f32; edits and penalties change it in place.</summary>
    internal required Tensor Logits { get; init; }

    /// <summary>[S, 4]: token row, request row, position of the new token, 0.</summary>
    internal required Tensor SampleRows { get; init; }

    /// <summary>Masks and edits of logits.</summary>
    internal required LogitChanges Changes { get; init; }

    /// <summary>Code of callers that changes logits; null = none.</summary>
    internal IHostProcessors? Processors { get; init; }

    /// <summary>Ids that are known, not drawn; null = none.</summary>
    internal GivenIds? Given { get; init; }

    /// <summary>Fetches log-probabilities of named tokens; null = nobody names any.</summary>
    internal IRequestedLogprobs? Requested { get; init; }

    internal required bool AllGreedy { get; init; }

    internal required bool AnyPenalties { get; init; }

    /// <summary>Log-probabilities beside the sampled one; -1 = none at all.</summary>
    internal required int TopLogprobs { get; init; }
}
