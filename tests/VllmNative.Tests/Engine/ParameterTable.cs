using VllmNative.Requests;
using Xunit;
using static VllmNative.Tests.Engine.ParameterEffect;

namespace VllmNative.Tests.Engine;

/// <summary>Every parameter of a request, one line for each value that is worth to be combined with every other parameter.</summary>
internal static class ParameterTable
{
    /// <summary>What all requests have that do not say otherwise. So low a temperature makes a model of random weights prefer some tokens.</summary>
    internal static SamplingParams Base { get; } = new() { Temperature = 0.6f, MaxTokens = 14, Seed = 5 };

    internal static Parameter[] All { get; } =
    [
        Of(nameof(SamplingParams.N), "3", Shows, p => p with { N = 3 }),
        Of(nameof(SamplingParams.BestOf), "4", Depends, p => p with { BestOf = 4 }, ParameterChecks.BestFirst),
        Of(nameof(SamplingParams.MaxTokens), "6", Shows, p => p with { MaxTokens = 6 }),
        Of(nameof(SamplingParams.MinTokens), "5", Depends, p => p with { MinTokens = 5 }, ParameterChecks.MinTokens),
        Of(nameof(SamplingParams.Temperature), "0", Shows, p => p with { Temperature = 0 }),
        Of(nameof(SamplingParams.Temperature), "1.7", Shows, p => p with { Temperature = 1.7f }),
        Of(nameof(SamplingParams.TopP), "0.2", Shows, p => p with { TopP = 0.2f }),
        Of(nameof(SamplingParams.TopK), "3", Shows, p => p with { TopK = 3 }),
        Of(nameof(SamplingParams.MinP), "0.7", Shows, p => p with { MinP = 0.7f }),
        Of(nameof(SamplingParams.PresencePenalty), "-2", Shows, p => p with { PresencePenalty = -2 }),
        Of(nameof(SamplingParams.FrequencyPenalty), "-2", Shows, p => p with { FrequencyPenalty = -2 }),
        Of(nameof(SamplingParams.RepetitionPenalty), "0.5", Shows, p => p with { RepetitionPenalty = 0.5f }),
        Of(nameof(SamplingParams.Seed), "77", Shows, p => p with { Seed = 77 }),
        Of(nameof(SamplingParams.Seed), "none", Shows, p => p with { Seed = null }),
        Of(nameof(SamplingParams.Stop), "strings", Depends, p => p with { Stop = ["e", "st"] }, ParameterChecks.Stop),
        Of(nameof(SamplingParams.StopTokenIds), "many", Depends, p => p with { StopTokenIds = [.. Enumerable.Range(500, 200)] }),
        Of(nameof(SamplingParams.IncludeStopStrInOutput), "true", None, p => p with { IncludeStopStrInOutput = true }),
        Of(nameof(SamplingParams.IgnoreEos), "true", Depends, p => p with { IgnoreEos = true }),
        Of(nameof(SamplingParams.Logprobs), "4", None, p => p with { Logprobs = 4 }, ParameterChecks.Logprobs),
        Of(nameof(SamplingParams.PromptLogprobs), "2", None, p => p with { PromptLogprobs = 2 }, ParameterChecks.PromptLogprobs),
        Of(nameof(SamplingParams.LogprobTokenIds), "3", None, p => p with { LogprobTokenIds = [700, 2, 1535] }, ParameterChecks.NamedLogprobs),
        Of(nameof(SamplingParams.PromptLogprobTokenIds), "2", None, p => p with { PromptLogprobTokenIds = [9, 4] }, ParameterChecks.NamedPromptLogprobs),
        Of(nameof(SamplingParams.LogitsProcessors), "thirds", Shows, p => p with { LogitsProcessors = [new PrefersThirds()] }),
        Of(nameof(SamplingParams.LogitBias), "no even ids", Shows, p => p with { LogitBias = NoEvenIds }, ParameterChecks.Bias),
        Of(nameof(SamplingParams.AllowedTokenIds), "33", Shows, p => p with { AllowedTokenIds = [1, .. Enumerable.Range(310, 30), 505, 805] }, ParameterChecks.AllowedIds),
        Of(nameof(SamplingParams.BadWords), "20", Depends, p => p with { BadWords = Words }, ParameterChecks.BadWords),
        Of(nameof(SamplingParams.RepetitionDetection), "of 1 or 2", Depends, p => p with { RepetitionDetection = Twice }, ParameterChecks.Repetition),
        Of(nameof(SamplingParams.TruncatePromptTokens), "18", Shows, p => p with { TruncatePromptTokens = 18 }, o => Assert.Equal(o.Prompt[^18..], o.Last.PromptTokenIds)),
        Of(nameof(SamplingParams.OutputKind), "Delta", None, p => p with { OutputKind = OutputKind.Delta }),
        Of(nameof(SamplingParams.OutputKind), "FinalOnly", None, p => p with { OutputKind = OutputKind.FinalOnly }, o => Assert.Single(o.Outputs)),
        Of(nameof(SamplingParams.SkipSpecialTokens), "false", None, p => p with { SkipSpecialTokens = false }),
        Of(nameof(SamplingParams.SpacesBetweenSpecialTokens), "false", None, p => p with { SpacesBetweenSpecialTokens = false }),
        Of(nameof(SamplingParams.Detokenize), "false", None, p => p with { Detokenize = false }),
        Of(nameof(RequestScheduling.SkipReadingPrefixCache), "true", s => s with { SkipReadingPrefixCache = true }, o => Assert.Equal(0, o.Last.CachedTokens)),
        Of(nameof(RequestScheduling.CacheSalt), "s", s => s with { CacheSalt = "s" }),
        Of(nameof(RequestScheduling.Priority), "-3", s => s with { Priority = -3 }),
        Of(nameof(RequestScheduling.User), "u", s => s with { User = "u" }),
        Of(nameof(SamplingParams.UseBeamSearch), "true", Shows, Beams),
        Of(nameof(SamplingParams.LengthPenalty), "3", Shows, p => Beams(p) with { LengthPenalty = 3 }),
        Of(nameof(SamplingParams.EarlyStopping), "True", Shows, p => Beams(p) with { EarlyStopping = EarlyStopping.True }),
    ];

    /// <summary>Pairs that are refused, and what the error says.</summary>
    internal static IReadOnlyDictionary<(string First, string Second), string> Refused { get; } = new Dictionary<(string, string), string>(RefusedByBeams())
    {
        [("N 3", "Temperature 0")] = "n is 3, expected 1 with greedy sampling (temperature 0)",
        [("BestOf 4", "Temperature 0")] = "best_of is 4, expected 1 with greedy sampling (temperature 0)",
        [("Stop strings", "Detokenize false")] = "stop was given with detokenize = false; stop strings need text",
    };

    // What changes probabilities or ends a sequence by its text.
    private static IEnumerable<KeyValuePair<(string, string), string>> RefusedByBeams()
    {
        (string Other, string Error)[] refused =
        [
            ("Temperature 1.7", "temperature is 1.7, expected 0"),
            ("TopP 0.2", "top_p is 0.2, expected 1"),
            ("TopK 3", "top_k is 3, expected 0 or -1"),
            ("MinP 0.7", "min_p is 0.7, expected 0"),
            ("PresencePenalty -2", "presence_penalty is -2, expected 0"),
            ("FrequencyPenalty -2", "frequency_penalty is -2, expected 0"),
            ("RepetitionPenalty 0.5", "repetition_penalty is 0.5, expected 1"),
            ("LogitBias no even ids", "logit_bias has 768 entries, expected none"),
            ("AllowedTokenIds 33", "allowed_token_ids has 33 entries, expected null"),
            ("LogitsProcessors thirds", "logits_processors has 1 entries, expected none"),
            ("LogprobTokenIds 3", "logprob_token_ids has 3 entries, expected null"),
            ("RepetitionDetection of 1 or 2", "repetition_detection was given, expected null"),
        ];
        foreach (string beams in new[] { "UseBeamSearch true", "LengthPenalty 3", "EarlyStopping True" })
        {
            foreach ((string other, string error) in refused)
            {
                yield return new((other, beams), error + " with use_beam_search");
            }

            yield return new(("Stop strings", beams), "stop has 2 entries, expected none with use_beam_search: use stop_token_ids");
        }
    }

    // Beams are greedy: a temperature of another parameter stays, and is refused.
    private static SamplingParams Beams(SamplingParams p) =>
        p with { UseBeamSearch = true, BestOf = p.BestOf ?? Math.Max(3, p.N), Temperature = p.Temperature == Base.Temperature ? 0 : p.Temperature };

    private static Dictionary<int, float> NoEvenIds => Enumerable.Range(0, 768).ToDictionary(i => 2 * i, _ => -100f);

    private static RepetitionDetection Twice => new() { MaxPatternSize = 2, MinCount = 2 };

    // Some of them are single tokens among the allowed ones.
    private static string[] Words => ["ri", "ass", "ant", "ct", "ist", "us", "he", "ell", "ay", "is", "ver", "ing", "ve", "user", "un", "to", "in", "st", "it", "The"];

    private sealed class PrefersThirds : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits)
        {
            for (int id = outputTokens.Length % 3; id < logits.Length; id += 3)
            {
                logits[id] += 2;
            }
        }
    }

    private static Parameter Of(string property, string value, ParameterEffect effect, Func<SamplingParams, SamplingParams> sampling, Action<ParameterOutcome>? check = null) =>
        new(property, value, effect) { Sampling = sampling, Check = check ?? (_ => { }) };

    private static Parameter Of(string property, string value, Func<RequestScheduling, RequestScheduling> scheduling, Action<ParameterOutcome>? check = null) =>
        new(property, value, None) { Scheduling = scheduling, Check = check ?? (_ => { }) };
}
