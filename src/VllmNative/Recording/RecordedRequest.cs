namespace VllmNative.Recording;

/// <summary>A request as a trace has it. Times are in seconds since the recording began.</summary>
internal sealed record RecordedRequest
{
    internal required long Id { get; init; }

    internal required double Arrived { get; init; }

    /// <summary>When the engine thread took it into the queue.</summary>
    internal required double Queued { get; init; }

    /// <summary>Id of the first completion of its prompt; null = it is that itself.</summary>
    internal long? Parent { get; init; }

    /// <summary>Beams of its search, for which it stands; 0 = it samples.</summary>
    internal int Beams { get; init; }

    /// <summary>When its first token was there; null = it ended before.</summary>
    internal double? FirstToken { get; init; }

    internal required double Ended { get; init; }

    internal required int PromptLength { get; init; }

    internal required int MaxTokens { get; init; }

    /// <summary>Tokens that it generated; of a beam search those of a beam.</summary>
    internal required int OutputLength { get; init; }

    internal int Priority { get; init; }

    /// <summary>A number for the user; null = none.</summary>
    internal string? User { get; init; }

    /// <summary>A number for the cache salt; null = none.</summary>
    internal string? Salt { get; init; }

    internal bool SkipReadingPrefixCache { get; init; }

    /// <summary>Prompt tokens found in the prefix cache when its first step was planned.</summary>
    internal int CachedTokens { get; init; }

    /// <summary>Those of them that the host's tier had.</summary>
    internal int HostCachedTokens { get; init; }

    internal int Preemptions { get; init; }

    /// <summary>A hash for each full block of prompt and output, of a beam search of the prompt alone: equal blocks of a trace have equal hashes.</summary>
    internal required ulong[] Blocks { get; init; }
}
