using VllmNative.Requests;

namespace VllmNative.Engine;

internal enum EngineMessageKind
{
    Add,
    End,
    ResetPrefixCache,
}

/// <summary>What others tell the engine thread.</summary>
internal readonly record struct EngineMessage(EngineMessageKind Kind, Request? Request, FinishReason Reason);
