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
            _ => good with { Logprobs = whole },
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
    public void Stop_strings_need_text_and_length()
    {
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [""] }.Validate).Parameter);
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [null!] }.Validate).Parameter);
        Assert.Equal("stop", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = null! }.Validate).Parameter);
        Assert.Contains("detokenize", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = ["x"], Detokenize = false }.Validate).Message, StringComparison.Ordinal);
        Assert.Contains("1024", Assert.Throws<InvalidRequestException>(new SamplingParams { Stop = [new string('x', 1025)] }.Validate).Message, StringComparison.Ordinal);
    }
}
