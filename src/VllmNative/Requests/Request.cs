namespace VllmNative.Requests;

/// <summary>
/// A request inside the engine: its tokens, how far they are computed, and the KV blocks that hold them. Owned by the engine
/// thread. There are no prefill and decode phases: a step computes the next tokens of what is not yet scheduled.
/// </summary>
internal sealed class Request
{
    private readonly int[] _tokens;
    private int _claimed;

    /// <param name="id">Internal number, never reused.</param>
    /// <param name="prompt">Token ids, at least one.</param>
    /// <param name="parameters">Validated.</param>
    /// <param name="maxTokens">Most tokens to generate, already cut to what the context and the KV pool allow.</param>
    /// <param name="stopIds">End-of-sequence and stop token ids, sorted.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="seed">Seed of the draws.</param>
    internal Request(long id, ReadOnlySpan<int> prompt, SamplingParams parameters, int maxTokens, int[] stopIds, int blockSize, ulong seed)
    {
        Id = id;
        Parameters = parameters;
        PromptLength = prompt.Length;
        MaxTokens = maxTokens;
        StopIds = stopIds;
        Seed = seed;
        _tokens = new int[prompt.Length + maxTokens];
        prompt.CopyTo(_tokens);
        Length = prompt.Length;
        Blocks = new int[(_tokens.Length + blockSize - 1) / blockSize];
        Mailbox = new Mailbox(maxTokens, parameters.Logprobs ?? -1);
    }

    internal long Id { get; }

    internal SamplingParams Parameters { get; }

    internal ulong Seed { get; }

    internal int PromptLength { get; }

    internal int MaxTokens { get; }

    internal int[] StopIds { get; }

    internal Mailbox Mailbox { get; }

    internal RequestTimings Timings { get; } = new();

    /// <summary>Tokens known: prompt and generated.</summary>
    internal int Length { get; private set; }

    internal int OutputLength => Length - PromptLength;

    internal ReadOnlyMemory<int> Tokens => _tokens.AsMemory(0, Length);

    internal RequestStatus Status { get; set; }

    /// <summary>Neighbours in the waiting queue, which owns them.</summary>
    internal Request? NextWaiting { get; set; }

    internal Request? PreviousWaiting { get; set; }

    /// <summary>Tokens whose K/V steps have been committed.</summary>
    internal int Computed { get; set; }

    /// <summary>Tokens whose K/V steps have been scheduled; at least <see cref="Computed"/>.</summary>
    internal int Scheduled { get; set; }

    /// <summary>Tokens that steps in flight will sample: they exist on the device only.</summary>
    internal int Pending { get; set; }

    /// <summary>Steps in flight that compute tokens of this request.</summary>
    internal int StepsInFlight { get; set; }

    /// <summary>Row of the device's batch state; -1 while the request holds none.</summary>
    internal int Row { get; set; } = -1;

    /// <summary>Whether the device holds the last token of this row, because it sampled it.</summary>
    internal bool LastTokenOnDevice { get; set; }

    /// <summary>Row of the token counts; -1 = it counts nothing.</summary>
    internal int CountSlot { get; set; } = -1;

    /// <summary>The block table; the first <see cref="BlockCount"/> entries are owned.</summary>
    internal int[] Blocks { get; }

    internal int BlockCount { get; set; }

    /// <summary>How often it was preempted.</summary>
    internal int Preemptions { get; set; }

    /// <summary>Timestamps past which it fails; long.MaxValue = never.</summary>
    internal long QueueDeadline { get; set; } = long.MaxValue;

    internal long Deadline { get; set; } = long.MaxValue;

    /// <summary>Tokens that exist somewhere but are not scheduled yet.</summary>
    internal int Unscheduled => Length + Pending - Scheduled;

    /// <summary>Whether the caller is the first to submit it: a request runs once.</summary>
    internal bool TryClaim() => Interlocked.Exchange(ref _claimed, 1) == 0;

    internal int TokenAt(int index) => _tokens[index];

    internal void Append(int id) => _tokens[Length++] = id;

    internal bool IsStop(int id) => Array.BinarySearch(StopIds, id) >= 0;
}
