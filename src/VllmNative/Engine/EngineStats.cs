namespace VllmNative.Engine;

/// <summary>Who is in the engine now, and what its steps have done since it started. How full the KV cache is says <see cref="MemoryStats"/>.</summary>
public readonly record struct EngineStats
{
    /// <summary>Requests that have a row; a completion of several is one each.</summary>
    public int RunningRequests { get; init; }

    /// <summary>Requests that wait for a row or for KV blocks, preempted ones and further completions of a prompt among them.</summary>
    public int WaitingRequests { get; init; }

    /// <summary>Steps computed.</summary>
    public long Steps { get; init; }

    /// <summary>Rows of the steps that were planned, those in flight among them: each request in a step is one.</summary>
    public long ScheduledRows { get; init; }

    /// <summary>Tokens that these steps compute, of prompts and generated ones.</summary>
    public long ScheduledTokens { get; init; }

    /// <summary>How often a request began, or went on after it was preempted.</summary>
    public long Admissions { get; init; }

    /// <summary>Requests that have ended, for whatever reason; not those that ended before they could wait for anything but another completion.</summary>
    public long FinishedRequests { get; init; }

    /// <summary>Tokens that they generated.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>How often a request lost its KV blocks.</summary>
    public long Preemptions { get; init; }

    /// <summary>Blocks of preempted requests that went to the host, and that came back.</summary>
    public long SwappedOutBlocks { get; init; }

    /// <inheritdoc cref="SwappedOutBlocks"/>
    public long SwappedInBlocks { get; init; }

    /// <summary>Cached blocks that went to the host's tier before they gave way, and that came back.</summary>
    public long OffloadedBlocks { get; init; }

    /// <inheritdoc cref="OffloadedBlocks"/>
    public long OnloadedBlocks { get; init; }

    /// <summary>Blocks that came from disk.</summary>
    public long DiskLoadedBlocks { get; init; }
}
