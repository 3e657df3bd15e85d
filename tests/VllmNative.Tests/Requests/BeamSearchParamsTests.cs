using VllmNative.Diagnostics;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Requests;

/// <summary>What goes with a beam search, and what does not.</summary>
public sealed class BeamSearchParamsTests
{
    private static readonly SamplingParams Beams = SamplingParams.Greedy with { UseBeamSearch = true, N = 4 };

    public static TheoryData<SamplingParams, string, string> Broken => new()
    {
        { Beams with { Temperature = 0.5f }, "temperature", "temperature is 0.5, expected 0 with use_beam_search" },
        { Beams with { TopP = 0.5f }, "top_p", "top_p is 0.5, expected 1 with use_beam_search" },
        { Beams with { TopK = 3 }, "top_k", "top_k is 3, expected 0 or -1 with use_beam_search" },
        { Beams with { MinP = 0.5f }, "min_p", "min_p is 0.5, expected 0 with use_beam_search" },
        { Beams with { PresencePenalty = 1 }, "presence_penalty", "presence_penalty is 1, expected 0 with use_beam_search" },
        { Beams with { FrequencyPenalty = 1 }, "frequency_penalty", "frequency_penalty is 1, expected 0 with use_beam_search" },
        { Beams with { RepetitionPenalty = 2 }, "repetition_penalty", "repetition_penalty is 2, expected 1 with use_beam_search" },
        { Beams with { LogitBias = new Dictionary<int, float> { [1] = 1 } }, "logit_bias", "logit_bias has 1 entries, expected none with use_beam_search" },
        { Beams with { AllowedTokenIds = [1, 2] }, "allowed_token_ids", "allowed_token_ids has 2 entries, expected null with use_beam_search" },
        { Beams with { Stop = ["x"] }, "stop", "stop has 1 entries, expected none with use_beam_search: use stop_token_ids" },
        { Beams with { RepetitionDetection = new RepetitionDetection() }, "repetition_detection", "repetition_detection was given, expected null with use_beam_search" },
        { Beams with { LengthPenalty = double.NaN }, "length_penalty", "length_penalty is NaN, expected a finite number" },
        { Beams with { LengthPenalty = double.PositiveInfinity }, "length_penalty", "length_penalty is Infinity, expected a finite number" },
        { Beams with { EarlyStopping = (EarlyStopping)3 }, "early_stopping", "early_stopping is 3, expected False, True or Never" },
        { Beams with { N = 129 }, "n", "n is 129, expected 1..128" },
        { Beams with { BestOf = 3 }, "best_of", "best_of is 3, expected 4..128 (n and the most)" },
        { SamplingParams.Greedy with { LengthPenalty = 2 }, "length_penalty", "length_penalty is 2, expected 1 without use_beam_search" },
        { SamplingParams.Greedy with { EarlyStopping = EarlyStopping.True }, "early_stopping", "early_stopping is True, expected False without use_beam_search" },
        { new BeamSearchParams { BeamWidth = 0 }.ToSamplingParams(), "n", "n is 0, expected 1..128" },
        { new BeamSearchParams { BeamWidth = 2, Temperature = 1 }.ToSamplingParams(), "temperature", "temperature is 1, expected 0 with use_beam_search" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void What_does_not_go_with_beams_is_refused_by_name(SamplingParams parameters, string parameter, string message)
    {
        InvalidRequestException error = Assert.Throws<InvalidRequestException>(parameters.Validate);
        Assert.Equal((parameter, message), (error.Parameter, error.Message));
    }

    [Fact]
    public void The_record_says_the_same_as_sampling_parameters()
    {
        var parameters = new BeamSearchParams
        {
            BeamWidth = 5, MaxTokens = 7, IgnoreEos = true, LengthPenalty = 0.5, EarlyStopping = EarlyStopping.Never, IncludeStopStringInOutput = true,
        };
        var expected = new SamplingParams
        {
            UseBeamSearch = true, N = 5, MaxTokens = 7, IgnoreEos = true, Temperature = 0, LengthPenalty = 0.5, EarlyStopping = EarlyStopping.Never, IncludeStopStrInOutput = true,
        };
        Assert.Equal(expected.ToString(), parameters.ToSamplingParams().ToString());
        parameters.ToSamplingParams().Validate();
        (expected with { MinTokens = 2, BadWords = ["no"], StopTokenIds = [3], Logprobs = 2, PromptLogprobs = 1, TopK = -1 }).Validate();
    }
}
