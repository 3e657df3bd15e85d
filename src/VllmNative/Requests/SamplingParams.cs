namespace VllmNative.Requests;

/// <summary>How a request's tokens are chosen and when it ends; names, defaults and ranges are vLLM's.</summary>
public sealed partial record SamplingParams
{
    /// <summary>Temperatures below this are greedy.</summary>
    internal const float GreedyBelow = 1e-5f;

    /// <summary>The most log-probabilities a request may ask for at a position.</summary>
    public const int MaxLogprobs = 20;

    /// <summary>The most completions of one request; a request holds memory for each from the start.</summary>
    public const int MaxCompletions = 128;

    /// <summary>The most log-probabilities of a position that a step brings; what beams choose from.</summary>
    internal const int MaxTopLogprobs = 256;

    /// <summary>Greedy sampling: always the most likely token.</summary>
    public static SamplingParams Greedy { get; } = new() { Temperature = 0 };

    /// <summary>The most tokens whose log-probabilities a request may name.</summary>
    public const int MaxLogprobTokenIds = 128;

    /// <summary>The most processors of a request.</summary>
    public const int MaxLogitsProcessors = 16;

    /// <summary>Completions to return, 1..128; above 1 needs a temperature or a beam search, since greedy ones would be alike. Their seeds are seed, seed + 1, ...</summary>
    public int N { get; init; } = 1;

    /// <summary>
    /// Completions to generate, of which the <see cref="N"/> of the highest cumulative log-probability are returned when all have
    /// ended; n..128, null = n.
    /// </summary>
    public int? BestOf { get; init; }

    /// <summary>
    /// Whether the completions are the <see cref="N"/> of the highest score that a beam search of width <see cref="BestOf"/> (null = N) finds, at
    /// most the engine's MaxNumSeqs. They come when all have ended, the best first, since until then any of their tokens may change.
    /// Log-probabilities are the model's, bans are min_tokens and bad_words; temperature must be 0, and what else changes logits is refused,
    /// as are stop strings and repetition detection.
    /// </summary>
    public bool UseBeamSearch { get; init; }

    /// <summary>
    /// With <see cref="UseBeamSearch"/>: a sequence's score is its cumulative log-probability divided by its length to this power, the
    /// end-of-sequence token counted and the prompt not; finite, above 0 favours long ones.
    /// </summary>
    public double LengthPenalty { get; init; } = 1;

    /// <summary>With <see cref="UseBeamSearch"/>: when a search that is full of finished sequences ends.</summary>
    public EarlyStopping EarlyStopping { get; init; }

    /// <summary>Most tokens to generate, at least 1; null = the rest of the context.</summary>
    public int? MaxTokens { get; init; } = 16;

    /// <summary>End-of-sequence and stop tokens are banned until this many tokens were generated; 0..MaxTokens.</summary>
    public int MinTokens { get; init; }

    /// <summary>0..2; 0 is greedy.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Smallest set of most likely tokens whose probability reaches this, ties with its last included; (0, 1], 1 = off.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Only the k most likely tokens, ties at the k-th included; 0 or -1 = off.</summary>
    public int TopK { get; init; }

    /// <summary>Only tokens at least this fraction as likely as the most likely; [0, 1], 0 = off.</summary>
    public float MinP { get; init; }

    /// <summary>Subtracted once from the logit of each token generated so far; -2..2.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted from a token's logit for each time that it was generated; -2..2.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens in prompt and output; above 0, 1 = off.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Seed of the draws; null or -1 = one is chosen at admission.</summary>
    public long? Seed { get; init; }

    /// <summary>Texts that end the completion; not empty.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Token ids that end the completion.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Whether the stop string stays in the text.</summary>
    public bool IncludeStopStrInOutput { get; init; }

    /// <summary>Whether generation goes on past the end-of-sequence token.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>How many log-probabilities to return at each position, beside the sampled token's; null = none, 0..20.</summary>
    public int? Logprobs { get; init; }

    /// <summary>How many log-probabilities to return at each prompt position, beside the prompt token's own; null = none, 0..20.</summary>
    /// <remarks>Such a request computes its whole prompt, whatever the prefix cache has.</remarks>
    public int? PromptLogprobs { get; init; }

    /// <summary>
    /// Tokens whose log-probabilities are returned at each generated position, likely or not, beside the sampled token's; 1..128 ids of the
    /// vocabulary, null = none. They are in <see cref="PositionLogprobs.Requested"/>, in this order.
    /// </summary>
    public IReadOnlyList<int>? LogprobTokenIds { get; init; }

    /// <summary>The same at each prompt position, beside the prompt token's own; 1..128 ids of the vocabulary, null = none.</summary>
    /// <remarks>Such a request computes its whole prompt, whatever the prefix cache has.</remarks>
    public IReadOnlyList<int>? PromptLogprobTokenIds { get; init; }

    /// <summary>Added to the logits of single tokens; values are cut to -100..100, at most 1024 entries; null = none.</summary>
    public IReadOnlyDictionary<int, float>? LogitBias { get; init; }

    /// <summary>The only tokens that may be sampled, at least one; null = all.</summary>
    public IReadOnlyList<int>? AllowedTokenIds { get; init; }

    /// <summary>
    /// Words that must not be generated, at most 64 of 1..256 characters, with or without a space before them: the token that would
    /// complete one is banned.
    /// </summary>
    public IReadOnlyList<string> BadWords { get; init; } = [];

    /// <summary>
    /// Code of the caller that changes the logits, in this order, at most 16. The request's next step is planned when its token is known, so
    /// on a GPU it waits between its steps; requests without processors do not.
    /// </summary>
    public IReadOnlyList<ILogitsProcessor> LogitsProcessors { get; init; } = [];

    /// <summary>Ends a completion that repeats itself, with <see cref="FinishReason.Repetition"/>; null = off.</summary>
    public RepetitionDetection? RepetitionDetection { get; init; }

    /// <summary>Keeps only the last tokens of a longer prompt; -1 = as many as the context holds beside one new token; null = a longer prompt is an error.</summary>
    public int? TruncatePromptTokens { get; init; }

    /// <summary>What each output of a stream holds.</summary>
    public OutputKind OutputKind { get; init; }

    /// <summary>Whether special tokens are left out of the text.</summary>
    public bool SkipSpecialTokens { get; init; } = true;

    /// <summary>Whether a space stands between two special tokens in a row, where they are shown.</summary>
    public bool SpacesBetweenSpecialTokens { get; init; } = true;

    /// <summary>Whether text is produced at all.</summary>
    public bool Detokenize { get; init; } = true;

    internal bool IsGreedy => Temperature < GreedyBelow;

    /// <summary>Completions to generate, or beams.</summary>
    internal int Candidates => BestOf ?? N;

    /// <summary>Whether the best of the candidates are returned, which is known when all have ended.</summary>
    internal bool Selects => !UseBeamSearch && Candidates > N;

    /// <summary>Log-probabilities that sampling gives beside the sampled token's; -1 = none at all.</summary>
    internal int SampledLogprobs => Logprobs ?? (Selects || UseBeamSearch || LogprobTokenIds is not null ? 0 : -1);

    /// <summary>Whether the caller is told log-probabilities of generated tokens.</summary>
    internal bool ReturnsLogprobs => Logprobs is not null || LogprobTokenIds is not null;

    /// <summary>Whether the caller is told log-probabilities of the prompt.</summary>
    internal bool ScoresPrompt => PromptLogprobs is not null || PromptLogprobTokenIds is not null;

    internal bool HasPenalties => PresencePenalty != 0 || FrequencyPenalty != 0 || RepetitionPenalty != 1;
}
