using VllmNative.Diagnostics;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>Checks what parameters ask of single tokens against vocabulary and tokenizer, and prepares it.</summary>
internal static class LogitRulesFactory
{
    private const float MaxBias = 100;

    /// <summary>Null when the parameters change no logit.</summary>
    /// <param name="parameters">Validated.</param>
    /// <param name="vocabulary">Columns of the logits.</param>
    /// <param name="tokenizer">Needed for bad words.</param>
    /// <exception cref="InvalidRequestException">Names the value and the limit.</exception>
    internal static LogitRules? Create(SamplingParams parameters, int vocabulary, Tokenizer? tokenizer)
    {
        if (parameters.LogitBias is null or { Count: 0 } && parameters.AllowedTokenIds is null && parameters.BadWords.Count == 0
            && parameters.LogitsProcessors.Count == 0)
        {
            return null;
        }

        Check("logit_bias", parameters.LogitBias?.Keys ?? [], vocabulary);
        Check("allowed_token_ids", parameters.AllowedTokenIds ?? [], vocabulary);
        return new LogitRules
        {
            Biases = [.. (parameters.LogitBias ?? new Dictionary<int, float>()).Select(entry => (entry.Key, Math.Clamp(entry.Value, -MaxBias, MaxBias)))],
            Allowed = parameters.AllowedTokenIds is { } allowed ? LogitRules.MaskOf(allowed, vocabulary) : [],
            Processors = [.. parameters.LogitsProcessors],
            BadWords = [.. parameters.BadWords.SelectMany(word => SequencesOf(word, tokenizer, vocabulary))],
        };
    }

    // Every parameter that lists tokens says the same of one that the model does not have.
    internal static void Check(string parameter, IEnumerable<int> ids, int vocabulary)
    {
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)vocabulary)
            {
                throw new InvalidRequestException(parameter, $"{parameter} has {id}, expected 0..{vocabulary - 1} (the vocabulary)");
            }
        }
    }

    // A word at the start of a text and one behind another are different tokens.
    private static IEnumerable<int[]> SequencesOf(string word, Tokenizer? tokenizer, int vocabulary)
    {
        if (tokenizer is null)
        {
            throw new InvalidRequestException("bad_words", "the model has no tokenizer, so bad words cannot be found");
        }

        string bare = word.TrimStart();
        int[] alone = tokenizer.Encode(bare, addSpecialTokens: false);
        int[] spaced = tokenizer.Encode(" " + bare, addSpecialTokens: false);
        int[][] sequences = spaced.AsSpan().SequenceEqual(alone) ? [alone] : [alone, spaced];
        // Tokens that the model cannot give need no ban.
        return sequences.Where(ids => ids.Length > 0 && ids[^1] < vocabulary);
    }
}
