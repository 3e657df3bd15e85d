using VllmNative.Requests;

namespace VllmNative.Engine;

internal enum EngineMessageKind
{
    Add,
    End,
    ResetPrefixCache,
    PinPrefix,
    Defragment,
}

/// <summary>What others tell the engine thread.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Request">Whom it is about; null = nobody.</param>
/// <param name="Reason">Why it ends.</param>
internal readonly record struct EngineMessage(EngineMessageKind Kind, Request? Request = null, FinishReason Reason = FinishReason.None)
{
    /// <summary>How long a prefix is pinned.</summary>
    internal TimeSpan TimeToLive { get; init; }

    /// <summary>Gets the answer, where one is awaited.</summary>
    internal TaskCompletionSource<int>? Answer { get; init; }
}
