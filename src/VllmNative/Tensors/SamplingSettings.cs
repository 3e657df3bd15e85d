namespace VllmNative.Tensors;

/// <summary>How one request row samples; meanings and units stand at vn_sampling_row in native/include/vllm_native.h.</summary>
internal readonly record struct SamplingSettings
{
    internal required ulong Seed { get; init; }

    internal float Temperature { get; init; }

    internal float TopP { get; init; }

    internal float MinP { get; init; }

    internal int TopK { get; init; }

    internal float PresencePenalty { get; init; }

    internal float FrequencyPenalty { get; init; }

    internal float RepetitionPenalty { get; init; }

    /// <summary>Row of the token counts; -1 = none.</summary>
    internal required int CountSlot { get; init; }
}
