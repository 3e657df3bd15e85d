using VllmNative.Requests;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>A request, and all that its stream brought.</summary>
/// <param name="Prompt">As it was given.</param>
/// <param name="Parameters">How it was sampled.</param>
/// <param name="Outputs">In their order.</param>
/// <param name="Tokenizer">The model's.</param>
/// <param name="EosIds">Tokens that end a sequence, the primary one first.</param>
internal sealed record ParameterOutcome(int[] Prompt, SamplingParams Parameters, IReadOnlyList<RequestOutput> Outputs, Tokenizer Tokenizer, IReadOnlyList<int> EosIds)
{
    internal RequestOutput Last => Outputs[^1];

    /// <summary>The completions as they are in the end, joined where each output holds only what is new.</summary>
    internal CompletionOutput[] Completions { get; } = Parameters.OutputKind == OutputKind.Delta ? Join(Outputs) : [.. Outputs[^1].Outputs];

    /// <summary>Tokens that end a completion.</summary>
    internal IEnumerable<int> StopIds => Parameters.IgnoreEos ? Parameters.StopTokenIds : Parameters.StopTokenIds.Concat(EosIds);

    /// <summary>The tokens of all completions.</summary>
    internal string DescribeTokens() => string.Join(" / ", Completions.Select(completion => string.Join(' ', completion.TokenIds)));

    /// <summary>Everything that must not depend on how it was computed, to the bit.</summary>
    internal string Describe()
    {
        IEnumerable<string> completions = Completions.Select(completion =>
            $"{completion.Index} {completion.FinishReason} {completion.StopReason} [{string.Join(' ', completion.TokenIds)}] \"{completion.Text}\" {completion.CumulativeLogprob:R} {Describe(completion.Logprobs)}");
        return $"{Last.Error} {string.Join(' ', Last.PromptTokenIds)} {Describe(Last.PromptLogprobs)} {string.Join(" / ", completions)}";
    }

    /// <summary>What holds for every request, whatever its parameters.</summary>
    internal void CheckAlways()
    {
        Assert.All(Outputs.SkipLast(1), output => Assert.False(output.Finished));
        Assert.True(Last.Finished, "the last output is not finished");
        Assert.Null(Last.Error);
        Assert.Equal(Enumerable.Range(0, Parameters.N), Completions.Select(completion => completion.Index));
        Assert.Equal(Last.PromptTokenIds.Count, Last.Usage.PromptTokens);
        Assert.True(Last.Usage.CompletionTokens >= Completions.Sum(completion => completion.TokenIds.Count), "usage leaves tokens out");
        if (Parameters.BestOf is null)
        {
            Assert.Equal(Completions.Sum(completion => completion.TokenIds.Count), Last.Usage.CompletionTokens);
        }

        foreach (CompletionOutput completion in Completions)
        {
            CheckEnd(completion);
            CheckText(completion);
        }

        if (Parameters.N == 1)
        {
            Assert.Equal(Completions[0].Text, string.Concat(Outputs.Select(output => output.Delta)));
        }
    }

    // Tokens that end it stand at its end only, and are the reason.
    private void CheckEnd(CompletionOutput completion)
    {
        Assert.InRange(completion.TokenIds.Count, 1, Parameters.MaxTokens!.Value);
        Assert.Empty(completion.TokenIds.SkipLast(1).Intersect(StopIds));
        int last = completion.TokenIds[^1];
        switch (completion.FinishReason)
        {
            case FinishReason.Length:
                Assert.Equal((Parameters.MaxTokens.Value, null), (completion.TokenIds.Count, completion.StopReason));
                Assert.DoesNotContain(last, StopIds);
                break;
            case FinishReason.Stop when completion.StopReason is string text:
                Assert.Contains(text, Parameters.Stop);
                break;
            case FinishReason.Stop:
                Assert.Contains(last, StopIds);
                Assert.Equal(last == EosIds[0] && !Parameters.IgnoreEos ? null : last, completion.StopReason);
                break;
            default:
                Assert.Equal((FinishReason.Repetition, "repetition_detected"), (completion.FinishReason, completion.StopReason));
                Assert.NotNull(Parameters.RepetitionDetection);
                break;
        }
    }

    // The text of the tokens, without that of a stop token; a stop string may have cut it.
    private void CheckText(CompletionOutput completion)
    {
        bool dropsLast = completion is { FinishReason: FinishReason.Stop, StopReason: not string } && !Parameters.IncludeStopStrInOutput;
        int[] ids = [.. dropsLast ? completion.TokenIds.SkipLast(1) : completion.TokenIds];
        string whole = Tokenizer.Decode(ids, Parameters.SkipSpecialTokens);
        if (!Parameters.Detokenize)
        {
            Assert.Equal("", completion.Text);
        }
        else if (completion is { FinishReason: FinishReason.Stop, StopReason: string })
        {
            Assert.StartsWith(completion.Text, whole, StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal(whole, completion.Text);
        }
    }

    private static CompletionOutput[] Join(IReadOnlyList<RequestOutput> outputs) =>
    [
        .. outputs.SelectMany(output => output.Outputs).GroupBy(part => part.Index).OrderBy(parts => parts.Key).Select(parts => parts.Last() with
        {
            Text = string.Concat(parts.Select(part => part.Text)),
            TokenIds = [.. parts.SelectMany(part => part.TokenIds)],
            Logprobs = parts.Last().Logprobs is null ? null : [.. parts.SelectMany(part => part.Logprobs!)],
        }),
    ];

    private static string Describe(IEnumerable<PositionLogprobs?>? positions) => string.Join('|', (positions ?? []).Select(position => position is null
        ? "-"
        : string.Join(' ', position.Top.Prepend(position.Sampled).Select(token => $"{token.TokenId}:{BitConverter.SingleToInt32Bits(token.Logprob):x8}#{token.Rank}"))));
}
