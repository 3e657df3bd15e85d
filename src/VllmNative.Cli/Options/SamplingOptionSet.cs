using System.CommandLine;
using VllmNative.Requests;

namespace VllmNative.Cli.Options;

/// <summary>The options that say how tokens are chosen; names are vLLM's. What is not given stays as the model has it.</summary>
internal sealed class SamplingOptionSet
{
    private readonly Option<int?> _maxTokens;
    private readonly Option<float?> _temperature = NumberOption.Real("--temperature", "0..2; 0 always takes the most likely token.");
    private readonly Option<float?> _topP = NumberOption.Real("--top-p", "Smallest set of most likely tokens whose probability reaches this; 1 = off.");
    private readonly Option<int?> _topK = NumberOption.Integer("--top-k", "Only the N most likely tokens; 0 = off.");
    private readonly Option<float?> _minP = NumberOption.Real("--min-p", "Only tokens at least this fraction as likely as the most likely; 0 = off.");
    private readonly Option<string[]> _stop = new("--stop") { Description = "Text that ends the output; may be repeated.", HelpName = "TEXT" };
    private readonly Option<int?> _logprobs = NumberOption.Integer("--logprobs", "Log-probabilities of the N most likely tokens at each position, on stderr.");
    private readonly Option<float?> _repetition = NumberOption.Real("--repetition-penalty", "Above 1 discourages tokens of prompt and output; 1 = off.");
    private readonly Option<float?> _presence = NumberOption.Real("--presence-penalty", "-2..2; once for each token generated so far.");
    private readonly Option<float?> _frequency = NumberOption.Real("--frequency-penalty", "-2..2; for each time that a token was generated.");
    private readonly Option<int?> _minTokens = NumberOption.Integer("--min-tokens", "The output does not end before this many tokens.");
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "Go on past the end-of-sequence token." };
    private readonly Option<long?> _seed;

    /// <param name="seed">Shared with the engine's options.</param>
    /// <param name="maxTokensDefault">What holds without --max-tokens, in words.</param>
    internal SamplingOptionSet(Option<long?> seed, string maxTokensDefault)
    {
        _seed = seed;
        _maxTokens = NumberOption.Integer("--max-tokens", $"Most tokens to generate. Default: {maxTokensDefault}.");
    }

    internal void AddTo(Command command)
    {
        foreach (Option option in (Option[])[
            _maxTokens, _temperature, _topP, _topK, _minP, _seed, _stop, _logprobs, _repetition, _presence, _frequency, _minTokens, _ignoreEos])
        {
            command.Options.Add(option);
        }
    }

    internal SamplingParams Apply(ParseResult parsed, SamplingParams defaults) => defaults with
    {
        MaxTokens = parsed.GetValue(_maxTokens) ?? defaults.MaxTokens,
        Temperature = parsed.GetValue(_temperature) ?? defaults.Temperature,
        TopP = parsed.GetValue(_topP) ?? defaults.TopP,
        TopK = parsed.GetValue(_topK) ?? defaults.TopK,
        MinP = parsed.GetValue(_minP) ?? defaults.MinP,
        Seed = parsed.GetValue(_seed) ?? defaults.Seed,
        Stop = parsed.GetResult(_stop) is null ? defaults.Stop : parsed.GetValue(_stop) ?? [],
        Logprobs = parsed.GetValue(_logprobs) ?? defaults.Logprobs,
        RepetitionPenalty = parsed.GetValue(_repetition) ?? defaults.RepetitionPenalty,
        PresencePenalty = parsed.GetValue(_presence) ?? defaults.PresencePenalty,
        FrequencyPenalty = parsed.GetValue(_frequency) ?? defaults.FrequencyPenalty,
        MinTokens = parsed.GetValue(_minTokens) ?? defaults.MinTokens,
        IgnoreEos = parsed.GetValue(_ignoreEos) || defaults.IgnoreEos,
    };
}
