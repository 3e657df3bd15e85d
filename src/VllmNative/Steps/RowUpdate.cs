using VllmNative.Requests;

namespace VllmNative.Steps;

/// <summary>Sets a row of the device's batch state, before the step derives anything from it.</summary>
internal readonly record struct RowUpdate(int Row, int ComputedLength, int LastToken);

/// <summary>Sets one entry of a block table on the device.</summary>
internal readonly record struct TableUpdate(int Group, int Row, int Index, int Block);

/// <summary>Copies a KV block on the device before the step computes (copy-on-write).</summary>
internal readonly record struct BlockCopy(int Source, int Destination);

/// <summary>Moves a KV block between the device and host memory.</summary>
internal readonly record struct BlockSwap(int DeviceBlock, int HostBlock, bool ToHost);

/// <summary>How a request row samples, set when it is admitted.</summary>
internal readonly record struct SamplingUpdate
{
    internal required int Row { get; init; }

    internal required ulong Seed { get; init; }

    /// <summary>0 = greedy.</summary>
    internal float Temperature { get; init; }

    internal float TopP { get; init; }

    internal float MinP { get; init; }

    internal int TopK { get; init; }

    internal float PresencePenalty { get; init; }

    internal float FrequencyPenalty { get; init; }

    internal float RepetitionPenalty { get; init; }

    /// <summary>Row of the token counts, cleared and filled with the tokens below; -1 = counts nothing.</summary>
    internal int CountSlot { get; init; }

    /// <summary>Prompt and generated tokens, when tokens are counted.</summary>
    internal ReadOnlyMemory<int> Tokens { get; init; }

    internal int PromptLength { get; init; }
}

/// <summary>The tokens that follow those of consecutive logits rows: they are scored, not sampled.</summary>
internal readonly record struct GivenTokens(int LogitsRow, ReadOnlyMemory<int> Ids);

/// <summary>Bans all tokens but those whose bit is set: bit id % 32 of word id / 32.</summary>
internal readonly record struct LogitMask(int LogitsRow, ReadOnlyMemory<int> Bits);

/// <summary>Adds a value to one logit of a sampling row: a ban (-infinity) or a bias.</summary>
internal readonly record struct LogitEdit(int LogitsRow, int TokenId, float Value);

/// <summary>
/// Asks for the log-probabilities of these tokens in a sampling row of logits, or in consecutive rows whose own tokens are given.
/// </summary>
internal readonly record struct RequestedIds(int LogitsRow, int[] Ids, ReadOnlyMemory<int> Given);

/// <summary>Hands final hidden states of consecutive tokens of the step to a request, for which they stand at these positions.</summary>
internal readonly record struct HiddenRows(int FirstToken, int Count, int Position, HiddenPooling Target);

/// <summary>Has a request's own processors change a row of logits on the host; the tokens are all that the request has.</summary>
internal readonly record struct ProcessorCall(int LogitsRow, int PlanRow, ILogitsProcessor[] Processors, ReadOnlyMemory<int> Tokens, int PromptLength);
