using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>A step's plan on the device.</summary>
internal readonly struct StepInputs
{
    /// <summary>[rows, 4]: request row, query length, first id or -1, 0; rows beyond the plan's have request row -1 and no token.</summary>
    internal required Tensor StepRows { get; init; }

    internal required Tensor StepIds { get; init; }

    internal required Tensor RowUpdates { get; init; }

    internal required Tensor TableUpdates { get; init; }

    /// <summary>[logits rows, 4]: token, request row, position of the new token, 0.</summary>
    internal required Tensor SampleRows { get; init; }

    /// <summary>[copies, 2]: source, destination.</summary>
    internal required Tensor BlockCopies { get; init; }
}
