using VllmNative.Diagnostics;

namespace VllmNative.Requests;

/// <summary>How a request's tokens are chosen and when it ends; names, defaults and ranges are vLLM's.</summary>
public sealed record SamplingParams
{
    /// <summary>Temperatures below this are greedy.</summary>
    internal const float GreedyBelow = 1e-5f;

    /// <summary>The most log-probabilities a request may ask for at a position.</summary>
    public const int MaxLogprobs = 20;

    /// <summary>Greedy sampling: always the most likely token.</summary>
    public static SamplingParams Greedy { get; } = new() { Temperature = 0 };

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

    /// <summary>Seed of the draws; null = one is chosen at admission.</summary>
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

    /// <summary>Whether special tokens are left out of the text.</summary>
    public bool SkipSpecialTokens { get; init; } = true;

    /// <summary>Whether text is produced at all.</summary>
    public bool Detokenize { get; init; } = true;

    internal bool IsGreedy => Temperature < GreedyBelow;

    internal bool HasPenalties => PresencePenalty != 0 || FrequencyPenalty != 0 || RepetitionPenalty != 1;

    /// <summary>Checks every rule.</summary>
    /// <exception cref="InvalidRequestException">The first rule that is broken, with parameter, value and range.</exception>
    public void Validate()
    {
        if (MaxTokens is < 1)
        {
            throw Invalid("max_tokens", $"max_tokens is {MaxTokens}, expected at least 1");
        }

        if (MinTokens < 0 || MinTokens > (MaxTokens ?? int.MaxValue))
        {
            throw Invalid("min_tokens", $"min_tokens is {MinTokens}, expected 0..{MaxTokens ?? int.MaxValue} (max_tokens)");
        }

        Range("temperature", Temperature, 0, 2);
        if (!(TopP is > 0 and <= 1))
        {
            throw Invalid("top_p", $"top_p is {TopP}, expected above 0 and at most 1");
        }

        if (TopK < -1)
        {
            throw Invalid("top_k", $"top_k is {TopK}, expected -1, 0 (both off) or more");
        }

        Range("min_p", MinP, 0, 1);
        Range("presence_penalty", PresencePenalty, -2, 2);
        Range("frequency_penalty", FrequencyPenalty, -2, 2);
        if (!(RepetitionPenalty > 0) || !float.IsFinite(RepetitionPenalty))
        {
            throw Invalid("repetition_penalty", $"repetition_penalty is {RepetitionPenalty}, expected above 0 and finite");
        }

        if (Logprobs is < 0 or > MaxLogprobs)
        {
            throw Invalid("logprobs", $"logprobs is {Logprobs}, expected 0..{MaxLogprobs}");
        }

        ValidateStop();
    }

    private void ValidateStop()
    {
        const int maxStops = 64;
        const int maxStopLength = 1024;
        if (Stop is null || Stop.Count > maxStops)
        {
            throw Invalid("stop", $"stop has {Stop?.Count ?? -1} entries, expected at most {maxStops}");
        }

        foreach (string stop in Stop)
        {
            if (string.IsNullOrEmpty(stop) || stop.Length > maxStopLength)
            {
                throw Invalid("stop", $"stop has an entry of {stop?.Length ?? 0} characters, expected 1..{maxStopLength}");
            }
        }

        if (Stop.Count > 0 && !Detokenize)
        {
            throw Invalid("stop", $"stop was given with detokenize = false; stop strings need text");
        }

        if (StopTokenIds is null || StopTokenIds.Count > 1024)
        {
            throw Invalid("stop_token_ids", $"stop_token_ids has {StopTokenIds?.Count ?? -1} entries, expected at most 1024");
        }
    }

    private static void Range(string name, float value, float low, float high)
    {
        if (!(value >= low && value <= high))
        {
            throw Invalid(name, $"{name} is {value}, expected {low}..{high}");
        }
    }

    // Numbers read the same in every locale.
    private static InvalidRequestException Invalid(string parameter, FormattableString message) =>
        new(parameter, FormattableString.Invariant(message));
}
