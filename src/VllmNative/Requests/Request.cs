namespace VllmNative.Requests;

/// <summary>
/// A request inside the engine: its tokens, how far they are computed, and the KV blocks that hold them. Owned by the engine
/// thread. There are no prefill and decode phases: a step computes the next tokens of what is not yet scheduled.
/// </summary>
internal sealed class Request
{
    private readonly int[] _tokens;
    private readonly bool _needsTokens;
    private readonly int _blockSize;
    private int _claimed;

    /// <param name="id">Internal number, never reused.</param>
    /// <param name="prompt">Token ids, at least one.</param>
    /// <param name="parameters">Validated.</param>
    /// <param name="maxTokens">Most tokens to generate, already cut to what the context and the KV pool allow.</param>
    /// <param name="stopIds">End-of-sequence and stop token ids, sorted.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="seed">Seed of the draws.</param>
    /// <param name="parent">Whose prompt and reader it shares; null = it stands alone.</param>
    internal Request(
        long id, ReadOnlySpan<int> prompt, SamplingParams parameters, int maxTokens, int[] stopIds, int blockSize, ulong seed, Request? parent = null)
    {
        Parent = parent;
        Id = id;
        Parameters = parameters;
        PromptLength = prompt.Length;
        MaxTokens = maxTokens;
        StopIds = stopIds;
        Seed = seed;
        _blockSize = blockSize;
        _tokens = new int[prompt.Length + maxTokens];
        prompt.CopyTo(_tokens);
        Length = prompt.Length;
        Blocks = new int[(_tokens.Length + blockSize - 1) / blockSize];
        BlockHashes = new ulong[_tokens.Length / blockSize];
        PromptLogprobs = parameters.ScoresPrompt
            ? new SampledLogprobs(prompt.Length - 1, parameters.PromptLogprobs ?? 0, [.. parameters.PromptLogprobTokenIds ?? []])
            : null;
        Mailbox = new Mailbox(maxTokens, parameters.SampledLogprobs, [.. parameters.LogprobTokenIds ?? []], parent?.Mailbox);
    }

    internal long Id { get; }

    /// <summary>The first completion of its group: this one begins with that one's prompt.</summary>
    internal Request? Parent { get; }

    internal SamplingParams Parameters { get; }

    /// <summary>The beam search that it is a beam of; null = none. Its tokens are then chosen for all beams together, on the host.</summary>
    internal BeamGroup? Beams { get; init; }

    /// <summary>Which of the beams.</summary>
    internal int Beam { get; init; }

    /// <summary>Whether it has nothing to compute before the other beams' steps have returned too.</summary>
    internal bool AwaitsBeams { get; set; }

    /// <summary>What it changes about its logits; null = nothing.</summary>
    internal LogitRules? Rules
    {
        get;
        init => (field, _needsTokens) = (value, value is { NeedTokens: true });
    }

    /// <summary>Takes the prompt's hidden states; then the request ends with its prompt. Null = it generates.</summary>
    internal HiddenPooling? Pooling { get; init; }

    internal ulong Seed { get; }

    internal int PromptLength { get; }

    internal int MaxTokens { get; }

    internal int[] StopIds { get; }

    internal Mailbox Mailbox { get; }

    internal RequestTimings Timings { get; } = new();

    /// <summary>Log-probabilities of the prompt's tokens from the second on, complete before the first token is posted; null = nobody asks.</summary>
    internal SampledLogprobs? PromptLogprobs { get; }

    /// <summary>How many of them are known.</summary>
    internal int PromptScored { get; set; }

    /// <summary>Tokens known: prompt and generated.</summary>
    internal int Length { get; private set; }

    internal int OutputLength => Length - PromptLength;

    internal ReadOnlyMemory<int> Tokens => _tokens.AsMemory(0, Length);

    internal RequestStatus Status { get; set; }

    /// <summary>What the caller asked of scheduling and of the prefix cache.</summary>
    internal RequestScheduling Scheduling { get; init; } = RequestScheduling.Default;

    /// <summary>When it came to the queue, in seconds of the engine's clock.</summary>
    internal double QueuedAt { get; set; }

    /// <summary>Place among all requests, given by the policy on arrival and kept: lower is served first, equals by <see cref="Arrival"/>.</summary>
    internal double Rank { get; set; }

    internal long Arrival { get; set; }

    /// <summary>Index in the waiting queue, which owns it; -1 = it does not wait.</summary>
    internal int WaitingIndex { get; set; } = -1;

    /// <summary>How often a request behind it was served before it.</summary>
    internal int Overtaken { get; set; }

    /// <summary>Whether it makes way for a request of higher rank as soon as its steps in flight have returned.</summary>
    internal bool Yields { get; set; }

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

    /// <summary>The block table; the first <see cref="BlockCount"/> entries are owned. That of a static row is the row's.</summary>
    internal int[] Blocks { get; set; }

    internal int BlockCount { get; set; }

    /// <summary>The first entry of the block table that its row on the device does not have yet; int.MaxValue = the device has all.</summary>
    internal int FirstStaleEntry { get; set; } = int.MaxValue;

    /// <summary>Leading blocks whose content others computed: prefix hits, or the parent's of a fork.</summary>
    internal int BorrowedBlocks { get; set; }

    /// <summary>Whose first so many tokens' K/V it took over, shared or since then copied; null = nobody's.</summary>
    internal Request? ForkedFrom { get; set; }

    internal int ForkedTokens { get; set; }

    /// <summary>Prompt tokens that its first step found in the prefix cache; -1 = not looked up yet.</summary>
    internal int CachedTokens { get; set; } = -1;

    /// <summary>Those of them that the host's tier had.</summary>
    internal int HostCachedTokens { get; set; }

    /// <summary>Hashes of the token blocks; the first <see cref="HashedBlocks"/> are known.</summary>
    internal ulong[] BlockHashes { get; }

    internal int HashedBlocks { get; set; }

    /// <summary>What the prefix index had of the prompt before the request was handed in; null = nothing.</summary>
    internal ForeseenPrefix? Foreseen { get; set; }

    /// <summary>Blocks that it needed when it was looked up and did not fit, and the cache's count of gains then; 0 = it was not since it last ran.</summary>
    internal int NeededBlocks { get; set; }

    /// <inheritdoc cref="NeededBlocks"/>
    internal long NeededAtGains { get; set; }

    /// <summary>Where its sequence begins in the prefix index; 0 = it is not known there.</summary>
    internal long PrefixRoot { get; set; }

    /// <summary>How often the prefix cache had been reset when its K/V was begun: what is older than the last reset stays unknown.</summary>
    internal int BegunAtReset { get; set; }

    /// <summary>Leading blocks that have a node in the prefix index, and the last one's node with its id.</summary>
    internal int NodeCount { get; set; }

    internal int LastNode { get; set; } = -1;

    internal long LastNodeId { get; set; }

    /// <summary>Host blocks that hold its K/V while it is swapped out; the first <see cref="HostBlockCount"/> are owned.</summary>
    internal int[] HostBlocks { get; set; } = [];

    internal int HostBlockCount { get; set; }

    /// <summary>Whether its blocks are being copied to or from the host, or are awaited from disk.</summary>
    internal bool InTransfer { get; set; }

    /// <summary>Whether they go to the host because it was preempted.</summary>
    internal bool SwapsOut { get; set; }

    /// <summary>Whether the disk was asked for blocks that it begins with; that happens once.</summary>
    internal bool AskedDisk { get; set; }

    /// <summary>Whether it must be planned again: what its steps in flight bring does not count.</summary>
    internal bool Retracted { get; set; }

    /// <summary>How often it was preempted.</summary>
    internal int Preemptions { get; set; }

    /// <summary>Timestamps past which it fails; long.MaxValue = never.</summary>
    internal long QueueDeadline { get; set; } = long.MaxValue;

    internal long Deadline { get; set; } = long.MaxValue;

    /// <summary>Whether its next step cannot be planned before the token that a step in flight samples is known.</summary>
    internal bool AwaitsToken => (_needsTokens || Beams is not null) && Pending > 0;

    /// <summary>Tokens that exist somewhere but are not scheduled yet.</summary>
    internal int Unscheduled => Length + Pending - Scheduled;

    /// <summary>Whether tokens from this one on are part of a prompt whose log-probabilities are still wanted.</summary>
    internal bool ScoresPromptFrom(int token) => PromptLogprobs is not null && PromptScored < PromptLength - 1 && token < PromptLength - 1;

    /// <summary>Ends what its readers see, of a beam that of all beams; the first end counts.</summary>
    internal void FinishReading(FinishReason reason, int? stopTokenId, string? error)
    {
        Mailbox.Finish(reason, stopTokenId, error);
        if (Beams is null)
        {
            return;
        }

        foreach (Request beam in Beams.Beams)
        {
            beam.Mailbox.Finish(reason, stopTokenId, error);
        }
    }

    /// <summary>Whether the caller is the first to submit it: a request runs once.</summary>
    internal bool TryClaim() => Interlocked.Exchange(ref _claimed, 1) == 0;

    internal int TokenAt(int index) => _tokens[index];

    internal void Append(int id) => _tokens[Length++] = id;

    /// <summary>Puts another token at a generated position, known or not: what was hashed from there on is hashed again.</summary>
    internal void Rewrite(int output, int id)
    {
        _tokens[PromptLength + output] = id;
        HashedBlocks = Math.Min(HashedBlocks, (PromptLength + output) / _blockSize);
    }

    /// <summary>So many generated tokens are known.</summary>
    internal void Rewind(int outputs) => Length = PromptLength + outputs;

    internal bool IsStop(int id) => Array.BinarySearch(StopIds, id) >= 0;

    /// <summary>Whether a token ends the completion that it makes so long: before min_tokens none does.</summary>
    internal bool EndsWith(int id, int outputLength) => IsStop(id) && outputLength >= Parameters.MinTokens;
}
