namespace VllmNative.Steps;

/// <summary>What happened to requests and blocks, beside the rows that a step computes.</summary>
internal enum StepEventKind : byte
{
    /// <summary>A request got a row; the count is its tokens that need not be computed.</summary>
    Admitted,

    /// <summary>A request found its beginning in the prefix cache; the count is in tokens.</summary>
    PrefixHit,

    /// <summary>A request made room for others; the count is the blocks that it held.</summary>
    Preempted,

    /// <summary>A request's blocks go to the host; the count is in blocks.</summary>
    SwappedOut,

    /// <summary>A request's blocks come back; the count is in blocks.</summary>
    SwappedIn,

    /// <summary>Cached blocks gave way; the count is in blocks, and no request is named.</summary>
    Evicted,

    /// <summary>A request ended, for whatever reason; the count is the tokens that it generated.</summary>
    Finished,
}

/// <summary>One thing that happened between the planning of the step before and that of this one.</summary>
/// <param name="Kind">What.</param>
/// <param name="RequestId">To whom; 0 = to no request.</param>
/// <param name="Count">How many tokens or blocks; see <see cref="StepEventKind"/>.</param>
internal readonly record struct StepEvent(StepEventKind Kind, long RequestId, int Count);
