namespace VllmNative.Requests;

/// <summary>How a beam search runs; names are vLLM's. All sequences of the width are returned, the best first.</summary>
public sealed record BeamSearchParams
{
    /// <summary>Sequences that are followed at the same time, and returned; 1..128, at most the engine's MaxNumSeqs.</summary>
    public required int BeamWidth { get; init; }

    /// <summary>Most tokens to generate, at least 1; null = the rest of the context.</summary>
    public int? MaxTokens { get; init; } = 16;

    /// <summary>Whether sequences go on past the end-of-sequence token.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>0: beams are chosen, not drawn.</summary>
    public float Temperature { get; init; }

    /// <summary>A sequence's score is its cumulative log-probability divided by its length to this power; finite, above 0 favours long ones.</summary>
    public double LengthPenalty { get; init; } = 1;

    /// <summary>When a search that is full of finished sequences ends.</summary>
    public EarlyStopping EarlyStopping { get; init; }

    /// <summary>Whether the text keeps the token that ended a sequence; the token ids have it always.</summary>
    public bool IncludeStopStringInOutput { get; init; }

    /// <summary>The sampling parameters that say the same; add to them what this record has no name for.</summary>
    public SamplingParams ToSamplingParams() => new()
    {
        UseBeamSearch = true,
        N = BeamWidth,
        MaxTokens = MaxTokens,
        IgnoreEos = IgnoreEos,
        Temperature = Temperature,
        LengthPenalty = LengthPenalty,
        EarlyStopping = EarlyStopping,
        IncludeStopStrInOutput = IncludeStopStringInOutput,
    };
}
