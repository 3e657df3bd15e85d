namespace VllmNative.Requests;

/// <summary>Why a completion ended.</summary>
public enum FinishReason
{
    /// <summary>It has not ended.</summary>
    None = 0,

    /// <summary>An end-of-sequence token, a stop token or a stop string.</summary>
    Stop,

    /// <summary>max_tokens or the context length was reached.</summary>
    Length,

    /// <summary>The caller cancelled it, or the engine shut down.</summary>
    Abort,

    /// <summary>Something failed; <see cref="RequestOutput.Error"/> says what.</summary>
    Error,

    /// <summary>It repeated itself (<see cref="SamplingParams.RepetitionDetection"/>).</summary>
    Repetition,
}
