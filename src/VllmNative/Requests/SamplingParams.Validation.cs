using VllmNative.Diagnostics;

namespace VllmNative.Requests;

public sealed partial record SamplingParams
{
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

        if (PromptLogprobs is < 0 or > MaxLogprobs)
        {
            throw Invalid("prompt_logprobs", $"prompt_logprobs is {PromptLogprobs}, expected 0..{MaxLogprobs}");
        }

        ValidateCount("logprob_token_ids", LogprobTokenIds);
        ValidateCount("prompt_logprob_token_ids", PromptLogprobTokenIds);
        ValidateCompletions();
        ValidateStop();
        ValidateBans();
        ValidateBeams();
        RepetitionDetection?.Validate();
        ValidateTruncation(TruncatePromptTokens);

        if (!Enum.IsDefined(OutputKind))
        {
            throw Invalid("output_kind", $"output_kind is {(int)OutputKind}, expected Cumulative, Delta or FinalOnly");
        }
    }

    internal static void ValidateTruncation(int? tokens)
    {
        if (tokens is < -1 or 0)
        {
            throw Invalid("truncate_prompt_tokens", $"truncate_prompt_tokens is {tokens}, expected -1 (the context) or at least 1");
        }
    }

    private static void ValidateCount(string parameter, IReadOnlyList<int>? ids)
    {
        if (ids is { Count: 0 or > MaxLogprobTokenIds })
        {
            throw Invalid(parameter, $"{parameter} has {ids.Count} entries, expected 1..{MaxLogprobTokenIds}");
        }
    }

    private void ValidateCompletions()
    {
        if (N is < 1 or > MaxCompletions)
        {
            throw Invalid("n", $"n is {N}, expected 1..{MaxCompletions}");
        }

        if (BestOf < N || BestOf > MaxCompletions)
        {
            throw Invalid("best_of", $"best_of is {BestOf}, expected {N}..{MaxCompletions} (n and the most)");
        }

        if (Candidates > 1 && IsGreedy && !UseBeamSearch)
        {
            throw Invalid(N > 1 ? "n" : "best_of", $"{(N > 1 ? "n" : "best_of")} is {Candidates}, expected 1 with greedy sampling (temperature {Temperature})");
        }
    }

    private void ValidateBeams()
    {
        if (!double.IsFinite(LengthPenalty))
        {
            throw Invalid("length_penalty", $"length_penalty is {LengthPenalty}, expected a finite number");
        }

        if (!Enum.IsDefined(EarlyStopping))
        {
            throw Invalid("early_stopping", $"early_stopping is {(int)EarlyStopping}, expected False, True or Never");
        }

        if (!UseBeamSearch)
        {
            Need("length_penalty", LengthPenalty == 1, $"length_penalty is {LengthPenalty}, expected 1 without use_beam_search");
            Need("early_stopping", EarlyStopping == EarlyStopping.False, $"early_stopping is {EarlyStopping}, expected False without use_beam_search");
            return;
        }

        Need("temperature", Temperature == 0, $"temperature is {Temperature}, expected 0 with use_beam_search");
        Need("top_p", TopP == 1, $"top_p is {TopP}, expected 1 with use_beam_search");
        Need("top_k", TopK is 0 or -1, $"top_k is {TopK}, expected 0 or -1 with use_beam_search");
        Need("min_p", MinP == 0, $"min_p is {MinP}, expected 0 with use_beam_search");
        Need("presence_penalty", PresencePenalty == 0, $"presence_penalty is {PresencePenalty}, expected 0 with use_beam_search");
        Need("frequency_penalty", FrequencyPenalty == 0, $"frequency_penalty is {FrequencyPenalty}, expected 0 with use_beam_search");
        Need("repetition_penalty", RepetitionPenalty == 1, $"repetition_penalty is {RepetitionPenalty}, expected 1 with use_beam_search");
        Need("logit_bias", LogitBias is null or { Count: 0 }, $"logit_bias has {LogitBias?.Count} entries, expected none with use_beam_search");
        Need("allowed_token_ids", AllowedTokenIds is null, $"allowed_token_ids has {AllowedTokenIds?.Count} entries, expected null with use_beam_search");
        Need("stop", Stop.Count == 0, $"stop has {Stop.Count} entries, expected none with use_beam_search: use stop_token_ids");
        Need("logits_processors", LogitsProcessors.Count == 0, $"logits_processors has {LogitsProcessors.Count} entries, expected none with use_beam_search");
        Need("logprob_token_ids", LogprobTokenIds is null, $"logprob_token_ids has {LogprobTokenIds?.Count} entries, expected null with use_beam_search");
        Need("repetition_detection", RepetitionDetection is null, $"repetition_detection was given, expected null with use_beam_search");
    }

    private void ValidateBans()
    {
        const int maxBiases = 1024;
        const int maxWords = 64;
        const int maxWordLength = 256;
        if (LogitBias?.Count > maxBiases)
        {
            throw Invalid("logit_bias", $"logit_bias has {LogitBias.Count} entries, expected at most {maxBiases}");
        }

        foreach ((int id, float bias) in LogitBias ?? new Dictionary<int, float>())
        {
            if (float.IsNaN(bias))
            {
                throw Invalid("logit_bias", $"logit_bias is {bias} for token {id}, expected a number");
            }
        }

        if (AllowedTokenIds is { Count: 0 })
        {
            throw Invalid("allowed_token_ids", $"allowed_token_ids has 0 entries, expected at least 1");
        }

        if (BadWords is null || BadWords.Count > maxWords)
        {
            throw Invalid("bad_words", $"bad_words has {BadWords?.Count ?? -1} entries, expected at most {maxWords}");
        }

        if (LogitsProcessors is null || LogitsProcessors.Count > MaxLogitsProcessors || LogitsProcessors.Contains(null!))
        {
            string given = LogitsProcessors is null ? "null" : LogitsProcessors.Contains(null!) ? "null among its entries" : $"{LogitsProcessors.Count} entries";
            throw Invalid("logits_processors", $"logits_processors has {given}, expected 0..{MaxLogitsProcessors} processors");
        }

        foreach (string word in BadWords)
        {
            if (string.IsNullOrWhiteSpace(word) || word.Length > maxWordLength)
            {
                throw Invalid("bad_words", $"bad_words has an entry of {word?.Trim().Length ?? 0} characters, expected 1..{maxWordLength}");
            }
        }
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

    private static void Need(string name, bool holds, FormattableString message)
    {
        if (!holds)
        {
            throw Invalid(name, message);
        }
    }

    // Numbers read the same in every locale.
    internal static InvalidRequestException Invalid(string parameter, FormattableString message) =>
        new(parameter, FormattableString.Invariant(message));
}
