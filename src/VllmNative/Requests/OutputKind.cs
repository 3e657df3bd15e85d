namespace VllmNative.Requests;

/// <summary>What each output of a stream holds.</summary>
public enum OutputKind
{
    /// <summary>Everything so far. Its cost grows with the length of the completion.</summary>
    Cumulative = 0,

    /// <summary>What is new since the output before, of completions that have news.</summary>
    Delta,

    /// <summary>There is one output, when all is finished.</summary>
    FinalOnly,
}
