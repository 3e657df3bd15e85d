using System.Globalization;
using VllmNative.Diagnostics;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Requests;

/// <summary>Every rule names its parameter, the value and what is allowed.</summary>
public sealed class SamplingParamsTests
{
    public static TheoryData<string, string, string> Broken => new()
    {
        { "max_tokens", "0", "at least 1" },
        { "max_tokens", "-3", "at least 1" },
        { "min_tokens", "-1", "0..16" },
        { "min_tokens", "17", "0..16" },
        { "temperature", "-0.1", "0..2" },
        { "temperature", "2.1", "0..2" },
        { "temperature", "NaN", "0..2" },
        { "top_p", "0", "above 0" },
        { "top_p", "1.01", "at most 1" },
        { "top_p", "NaN", "at most 1" },
        { "top_k", "-2", "-1" },
        { "min_p", "-0.5", "0..1" },
        { "min_p", "1.5", "0..1" },
        { "presence_penalty", "2.5", "-2..2" },
        { "frequency_penalty", "-2.5", "-2..2" },
        { "repetition_penalty", "0", "above 0" },
        { "repetition_penalty", "Infinity", "finite" },
        { "logprobs", "-1", "0..20" },
        { "logprobs", "21", "0..20" },
        { "prompt_logprobs", "-1", "0..20" },
        { "prompt_logprobs", "21", "0..20" },
        { "n", "0", "1..128" },
        { "n", "129", "1..128" },
        { "best_of", "0", "1..128" },
        { "best_of", "129", "1..128" },
        { "truncate_prompt_tokens", "0", "-1 (the context) or at least 1" },
        { "truncate_prompt_tokens", "-2", "-1 (the context) or at least 1" },
        { "output_kind", "3", "Cumulative, Delta or FinalOnly" },
        { "output_kind", "-1", "Cumulative, Delta or FinalOnly" },
        { "repetition_detection.max_pattern_size", "-1", "0..1024" },
        { "repetition_detection.max_pattern_size", "1025", "0..1024" },
        { "repetition_detection.min_pattern_size", "-1", "0..8" },
        { "repetition_detection.min_pattern_size", "9", "0..8" },
        { "repetition_detection.min_count", "1", "2..1024" },
        { "repetition_detection.min_count", "1025", "2..1024" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void A_value_out_of_range_is_named_with_its_range(string parameter, string value, string range)
    {
        float number = float.Parse(value, CultureInfo.InvariantCulture);
        int whole = float.IsFinite(number) ? (int)number : 0;
        var good = new SamplingParams();
        SamplingParams bad = parameter switch
        {
            "max_tokens" => good with { MaxTokens = whole },
            "min_tokens" => good with { MinTokens = whole },
            "temperature" => good with { Temperature = number },
            "top_p" => good with { TopP = number },
            "top_k" => good with { TopK = whole },
            "min_p" => good with { MinP = number },
            "presence_penalty" => good with { PresencePenalty = number },
            "frequency_penalty" => good with { FrequencyPenalty = number },
            "repetition_penalty" => good with { RepetitionPenalty = number },
            "logprobs" => good with { Logprobs = whole },
            "prompt_logprobs" => good with { PromptLogprobs = whole },
            "n" => good with { N = whole },
            "best_of" => good with { BestOf = whole },
            "truncate_prompt_tokens" => good with { TruncatePromptTokens = whole },
            "output_kind" => good with { OutputKind = (OutputKind)whole },
            "repetition_detection.max_pattern_size" => good with { RepetitionDetection = new RepetitionDetection { MaxPatternSize = whole } },
            "repetition_detection.min_pattern_size" => good with { RepetitionDetection = new RepetitionDetection { MaxPatternSize = 8, MinPatternSize = whole } },
            "repetition_detection.min_count" => good with { RepetitionDetection = new RepetitionDetection { MaxPatternSize = 8, MinCount = whole } },
            _ => throw new ArgumentException(parameter, nameof(parameter)),
        };
        var error = Assert.Throws<InvalidRequestException>(bad.Validate);
        Assert.Equal(parameter, error.Parameter);
        Assert.StartsWith($"{parameter} is {value}, ", error.Message, StringComparison.Ordinal);
        Assert.Contains(range, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bounds_are_inside()
    {
        new SamplingParams { Temperature = 2, TopP = 1, TopK = -1, MinP = 1, PresencePenalty = -2, FrequencyPenalty = 2, Logprobs = 20, MinTokens = 16 }.Validate();
        new SamplingParams { Temperature = 0, TopP = float.Epsilon, MinP = 0, RepetitionPenalty = float.Epsilon, Logprobs = 0, MaxTokens = null, MinTokens = 5000 }.Validate();
    }

    [Fact]
    public void Lists_that_cannot_be_met_are_named_with_their_range()
    {
        static void Refused(SamplingParams bad, string parameter, string message)
        {
            var error = Assert.Throws<InvalidRequestException>(bad.Validate);
            Assert.Equal((parameter, message), (error.Parameter, error.Message));
        }

        Refused(new SamplingParams { AllowedTokenIds = [] }, "allowed_token_ids", "allowed_token_ids has 0 entries, expected at least 1");
        Refused(new SamplingParams { BadWords = [" "] }, "bad_words", "bad_words has an entry of 0 characters, expected 1..256");
        Refused(new SamplingParams { BadWords = [null!] }, "bad_words", "bad_words has an entry of 0 characters, expected 1..256");
        Refused(new SamplingParams { BadWords = [new string('x', 257)] }, "bad_words", "bad_words has an entry of 257 characters, expected 1..256");
        Refused(new SamplingParams { BadWords = [.. Enumerable.Repeat("x", 65)] }, "bad_words", "bad_words has 65 entries, expected at most 64");
        Refused(new SamplingParams { BadWords = null! }, "bad_words", "bad_words has -1 entries, expected at most 64");
        Refused(new SamplingParams { LogprobTokenIds = [] }, "logprob_token_ids", "logprob_token_ids has 0 entries, expected 1..128");
        Refused(new SamplingParams { LogprobTokenIds = new int[129] }, "logprob_token_ids", "logprob_token_ids has 129 entries, expected 1..128");
        Refused(new SamplingParams { PromptLogprobTokenIds = new int[129] }, "prompt_logprob_token_ids", "prompt_logprob_token_ids has 129 entries, expected 1..128");
        new SamplingParams { LogprobTokenIds = new int[128], PromptLogprobTokenIds = new int[128] }.Validate();
        Refused(new SamplingParams { LogitsProcessors = null! }, "logits_processors", "logits_processors has null, expected 0..16 processors");
        Refused(new SamplingParams { LogitsProcessors = [null!] }, "logits_processors", "logits_processors has null among its entries, expected 0..16 processors");
        Refused(new SamplingParams { LogitsProcessors = [.. Enumerable.Repeat(new Idle(), 17)] }, "logits_processors", "logits_processors has 17 entries, expected 0..16 processors");
        new SamplingParams { LogitsProcessors = [.. Enumerable.Repeat(new Idle(), 16)] }.Validate();
        Refused(new SamplingParams { LogitBias = Enumerable.Range(0, 1025).ToDictionary(id => id, _ => 1f) }, "logit_bias", "logit_bias has 1025 entries, expected at most 1024");
        Refused(new SamplingParams { LogitBias = new Dictionary<int, float> { [5] = float.NaN } }, "logit_bias", "logit_bias is NaN for token 5, expected a number");
    }

    [Fact]
    public void Several_completions_need_a_temperature_and_a_best_one_candidates()
    {
        new SamplingParams { N = 2 }.Validate();
        new SamplingParams { N = 2, BestOf = 2 }.Validate();
        new SamplingParams { N = 1, BestOf = 1, Temperature = 0 }.Validate();
        var greedy = Assert.Throws<InvalidRequestException>(new SamplingParams { N = 2, Temperature = 0 }.Validate);
        Assert.Equal(("n", "n is 2, expected 1 with greedy sampling (temperature 0)"), (greedy.Parameter, greedy.Message));
        Assert.Equal("best_of", Assert.Throws<InvalidRequestException>(new SamplingParams { BestOf = 2, Temperature = 0 }.Validate).Parameter);
        var fewer = Assert.Throws<InvalidRequestException>(new SamplingParams { N = 3, BestOf = 2 }.Validate);
        Assert.Equal("best_of is 2, expected 3..128 (n and the most)", fewer.Message);
    }

    [Fact]
    public void Stop_strings_need_text_and_length()
    {
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [""] }.Validate).Parameter);
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [null!] }.Validate).Parameter);
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = null! }.Validate).Parameter);
        Assert.Contains("detokenize", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = ["x"], Detokenize = false }.Validate).Message, StringComparison.Ordinal);
        Assert.Contains("1024", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [new string('x', 1025)] }.Validate).Message, StringComparison.Ordinal);
    }

    private sealed class Idle : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits)
        {
        }
    }
}
