using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>What a request's outcome must be, given single parameters of it.</summary>
internal static class ParameterChecks
{
    internal static void BestFirst(ParameterOutcome outcome)
    {
        Assert.Single(outcome.Outputs);
        double[] sums = [.. outcome.Completions.Select(completion => completion.CumulativeLogprob!.Value)];
        Assert.Equal(sums.OrderDescending(), sums);
    }

    internal static void MinTokens(ParameterOutcome outcome)
    {
        int least = outcome.Parameters.MinTokens;
        foreach (CompletionOutput completion in outcome.Completions)
        {
            Assert.True(completion.TokenIds.Count >= least, $"{completion.TokenIds.Count} tokens");
            Assert.Empty(completion.TokenIds.Take(least).Intersect(outcome.StopIds));
        }
    }

    internal static void Stop(ParameterOutcome outcome)
    {
        // Before min_tokens a stop string is text like any other.
        if (outcome.Parameters.MinTokens > 0)
        {
            return;
        }

        foreach (CompletionOutput completion in outcome.Completions)
        {
            string text = completion.Text;
            if (completion.StopReason is string stop && outcome.Parameters.IncludeStopStrInOutput)
            {
                Assert.EndsWith(stop, text, StringComparison.Ordinal);
                text = text[..^1];
            }

            Assert.DoesNotContain(outcome.Parameters.Stop, found => text.Contains(found, StringComparison.Ordinal));
        }
    }

    internal static void Logprobs(ParameterOutcome outcome)
    {
        foreach (CompletionOutput completion in outcome.Completions)
        {
            Assert.Equal(completion.TokenIds, completion.Logprobs!.Select(position => position.Sampled.TokenId));
            Assert.Equal(completion.Logprobs!.Sum(position => (double)position.Sampled.Logprob), completion.CumulativeLogprob!.Value, 1e-4);
            Assert.All(completion.Logprobs!, position => Position(position, outcome.Parameters.Logprobs!.Value));
        }
    }

    internal static void PromptLogprobs(ParameterOutcome outcome)
    {
        IReadOnlyList<PositionLogprobs?> positions = outcome.Last.PromptLogprobs!;
        Assert.Null(positions[0]);
        Assert.Equal(outcome.Last.PromptTokenIds.Skip(1), positions.Skip(1).Select(position => position!.Sampled.TokenId));
        Assert.All(positions.Skip(1), position => Position(position!, outcome.Parameters.PromptLogprobs!.Value));
    }

    internal static void NamedLogprobs(ParameterOutcome outcome)
    {
        foreach (CompletionOutput completion in outcome.Completions)
        {
            Assert.Equal(completion.TokenIds, completion.Logprobs!.Select(position => position.Sampled.TokenId));
            Assert.All(completion.Logprobs!, position => Named(position, outcome.Parameters.LogprobTokenIds!));
        }
    }

    internal static void NamedPromptLogprobs(ParameterOutcome outcome)
    {
        IReadOnlyList<PositionLogprobs?> positions = outcome.Last.PromptLogprobs!;
        Assert.Null(positions[0]);
        Assert.Equal(outcome.Last.PromptTokenIds.Skip(1), positions.Skip(1).Select(position => position!.Sampled.TokenId));
        Assert.All(positions.Skip(1), position => Named(position!, outcome.Parameters.PromptLogprobTokenIds!));
    }

    internal static void AllowedIds(ParameterOutcome outcome) =>
        Assert.All(outcome.Completions, completion => Assert.Subset(outcome.Parameters.AllowedTokenIds!.ToHashSet(), completion.TokenIds.ToHashSet()));

    // A bias of -100 is no ban, but what has it is never drawn while anything else may be.
    internal static void Bias(ParameterOutcome outcome) =>
        Assert.All(outcome.Completions, completion => Assert.DoesNotContain(completion.TokenIds, id => outcome.Parameters.LogitBias!.GetValueOrDefault(id) == -100));

    internal static void BadWords(ParameterOutcome outcome)
    {
        foreach (string word in outcome.Parameters.BadWords.SelectMany(word => new[] { word, " " + word }))
        {
            int[] banned = outcome.Tokenizer.Encode(word, addSpecialTokens: false);
            Assert.All(outcome.Completions, completion => Assert.Equal(-1, ((int[])[.. completion.TokenIds]).AsSpan().IndexOf(banned)));
        }
    }

    internal static void Repetition(ParameterOutcome outcome)
    {
        RepetitionDetection detection = outcome.Parameters.RepetitionDetection!;
        foreach (CompletionOutput completion in outcome.Completions)
        {
            int[] ids = [.. completion.TokenIds];
            Assert.True(completion.FinishReason != FinishReason.Repetition || detection.Found(ids), "there is no repetition");
            // What the reader's stop string ended may have been over for the engine a token later.
            for (int length = Math.Max(1, outcome.Parameters.MinTokens); length < ids.Length; length++)
            {
                Assert.False(detection.Found(ids.AsSpan(0, length)), $"went on after a repetition of {length} tokens");
            }
        }
    }

    // A token that is named and among the best, or the position's own, has one log-probability.
    private static void Named(PositionLogprobs position, IReadOnlyList<int> ids)
    {
        Assert.Equal(ids, position.Requested.Select(token => token.TokenId));
        foreach (TokenLogprob named in position.Requested)
        {
            Assert.True(named.Logprob <= 0, $"{named}");
            Assert.All(position.Top.Append(position.Sampled).Where(token => token.TokenId == named.TokenId), token => Assert.Equal(token.Logprob, named.Logprob, 1e-4f));
        }
    }

    private static void Position(PositionLogprobs position, int width)
    {
        Assert.Equal(Enumerable.Range(1, width), position.Top.Select(token => token.Rank));
        Assert.Equal(position.Top.OrderByDescending(token => token.Logprob).Select(token => token.Logprob), position.Top.Select(token => token.Logprob));
        Assert.True(position.Sampled.Logprob <= 0 && position.Sampled.Rank >= 1);
        Assert.All(position.Top, token => Assert.True(token.Rank >= position.Sampled.Rank || token.Logprob >= position.Sampled.Logprob));
    }
}
