namespace VllmNative.Tensors;

/// <summary>What paged attention reads and writes, beside the KV cache.</summary>
internal readonly ref struct AttentionInputs
{
    /// <summary>[T, query heads, dim].</summary>
    internal required Tensor Query { get; init; }

    /// <summary>[T, query heads, dim].</summary>
    internal required Tensor Output { get; init; }

    internal required Tensor QueryStart { get; init; }

    internal required Tensor SequenceLengths { get; init; }

    internal required Tensor StepRows { get; init; }

    internal required Tensor BlockTable { get; init; }

    internal required int MaxQueryLength { get; init; }

    internal required int MaxSequenceLength { get; init; }

    /// <summary>Of rows with several tokens; 0 = <see cref="MaxSequenceLength"/>.</summary>
    internal int MaxPrefillSequenceLength { get; init; }

    internal required Workspace Workspace { get; init; }

    /// <summary>0 = 1/sqrt(dim).</summary>
    internal float Scale { get; init; }

    /// <summary>0 = off.</summary>
    internal float SoftCap { get; init; }

    /// <summary>0 = all.</summary>
    internal int Window { get; init; }
}
