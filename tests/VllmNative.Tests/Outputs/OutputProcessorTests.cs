using System.Text;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Outputs;

/// <summary>Tokens to text, in any portions.</summary>
public sealed class OutputProcessorTests
{
    private const int Eos = 2;
    private static readonly Tokenizer Demo = Tokenizer.FromDirectory(TestAssets.Path("models", "demo"));

    [Theory]
    [InlineData("Chloé saw 猫 and 😀😀 by the sea", "zz", 1)]
    [InlineData("Chloé saw 猫 and 😀😀 by the sea", "zzzz", 2)]
    [InlineData("Chloé saw 猫 and 😀😀 by the sea", "zzz", 3)]
    [InlineData("plain", "", 1)]
    public void Increments_join_to_the_text_and_hold_whole_characters(string text, string stop, int portion)
    {
        int[] ids = Demo.Encode(text, addSpecialTokens: false);
        RequestOutput[] outputs = Play(ids, portion, Params(stop), FinishReason.Length);
        Assert.Equal(text, outputs[^1].Text);
        Assert.Equal(text, string.Concat(outputs.Select(output => output.Delta)));
        Assert.Equal(ids, outputs[^1].Outputs[0].TokenIds);
        var strict = new UTF8Encoding(false, throwOnInvalidBytes: true);
        Assert.All(outputs, output => Assert.True(strict.GetByteCount(output.Delta) >= 0));
        Assert.All(outputs[..^1], output => Assert.Equal((false, FinishReason.None), (output.Finished, output.Outputs[0].FinishReason)));
    }

    [Theory]
    [InlineData("é s", "Chlo")]
    [InlineData("猫 and 😀", "Chloé saw ")]
    [InlineData("😀 b", "Chloé saw 猫 and 😀")]
    [InlineData("C", "")]
    [InlineData("sea", "Chloé saw 猫 and 😀😀 by the ")]
    public void Text_ends_before_a_stop_string_wherever_tokens_and_characters_are_cut(string stop, string before)
    {
        int[] ids = Demo.Encode("Chloé saw 猫 and 😀😀 by the sea", addSpecialTokens: false);
        for (int portion = 1; portion <= ids.Length; portion++)
        {
            foreach (bool include in new[] { false, true })
            {
                RequestOutput[] outputs = Play(ids, portion, Params(stop) with { IncludeStopStrInOutput = include, Logprobs = 1 }, FinishReason.Length);
                CompletionOutput last = outputs[^1].Outputs[0];
                string expected = include ? before + stop : before;
                Assert.Equal(expected, last.Text);
                Assert.Equal(expected, string.Concat(outputs.Select(output => output.Delta)));
                Assert.Equal((FinishReason.Stop, stop), (last.FinishReason, last.StopReason));
                // The token that completed the stop string is the last one; log-probabilities go along.
                Assert.Contains(stop, Demo.Decode([.. last.TokenIds]), StringComparison.Ordinal);
                Assert.DoesNotContain(stop, Demo.Decode([.. last.TokenIds.SkipLast(1)]), StringComparison.Ordinal);
                Assert.Equal(last.TokenIds.Count, last.Logprobs!.Count);
                Assert.True(outputs[^1].Timings.LastToken > 0);
            }
        }
    }

    [Fact]
    public void Stop_strings_are_not_looked_for_before_min_tokens_are_passed()
    {
        int[] ids = Demo.Encode("the sea and the sea and the sea", addSpecialTokens: false);
        int first = Enumerable.Range(1, ids.Length).First(count => Demo.Decode(ids.AsSpan(0, count)).Contains("sea", StringComparison.Ordinal));
        Assert.Equal("the ", Play(ids, 1, Params("sea") with { MinTokens = first - 1 }, FinishReason.Length)[^1].Text);
        Assert.Equal("the sea and the ", Play(ids, 1, Params("sea") with { MinTokens = first }, FinishReason.Length)[^1].Text);
        RequestOutput longest = Play(ids, 1, Params("sea") with { MinTokens = ids.Length }, FinishReason.Length)[^1];
        Assert.Equal(("the sea and the sea and the sea", FinishReason.Length), (longest.Text, longest.Outputs[0].FinishReason));
    }

    [Theory]
    [InlineData(Eos, true, null)]
    [InlineData(Eos, false, null)]
    [InlineData(300, true, 300)]
    [InlineData(300, false, 300)]
    public void The_stop_token_is_in_the_ids_and_in_the_text_on_demand(int stopId, bool include, int? reason)
    {
        int[] ids = [.. Demo.Encode("by the sea", addSpecialTokens: false), stopId];
        SamplingParams parameters = Params("") with { IncludeStopStrInOutput = include, SkipSpecialTokens = false };
        CompletionOutput last = Play(ids, 2, parameters, FinishReason.Stop, stopId)[^1].Outputs[0];
        Assert.Equal(ids, last.TokenIds);
        Assert.Equal(include ? "by the sea" + Demo.Decode([stopId], skipSpecialTokens: false) : "by the sea", last.Text);
        Assert.Equal((FinishReason.Stop, (object?)reason), (last.FinishReason, last.StopReason));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_stop_token_that_is_read_before_the_end_is_known_is_no_text_either(bool include)
    {
        int[] ids = Demo.Encode("by the sea", addSpecialTokens: false);
        SamplingParams parameters = Params("") with { IncludeStopStrInOutput = include, MinTokens = 2 };
        var request = new Request(1, [1], parameters, ids.Length, [.. new[] { ids[0], ids[^1] }.Order()], blockSize: 4, seed: 0);
        var processor = new OutputProcessor([request], "r", null, [1], Demo, Eos);
        string joined = "";
        foreach (int id in ids)
        {
            request.Mailbox.Post(id);
            Assert.True(processor.Advance());
            joined += processor.Build().Delta;
        }

        request.Mailbox.Finish(FinishReason.Stop, ids[^1], null);
        Assert.True(processor.Advance());
        RequestOutput last = processor.Build();
        string expected = Demo.Decode(include ? ids : ids[..^1]);
        Assert.Equal((expected, expected), (last.Text, joined + last.Delta));
        Assert.Equal(ids, last.Outputs[0].TokenIds);
    }

    [Fact]
    public void An_error_keeps_what_came_before_it()
    {
        int[] ids = Demo.Encode("by the sea", addSpecialTokens: false);
        RequestOutput last = Play(ids, 1, Params("zzz"), FinishReason.Error, error: "planned")[^1];
        Assert.Equal(("by the sea", "planned", FinishReason.Error), (last.Text, last.Error, last.Outputs[0].FinishReason));
    }

    [Fact]
    public void Without_detokenization_there_are_ids_only()
    {
        RequestOutput last = Play([5, 6, 7], 1, Params("") with { Detokenize = false }, FinishReason.Length)[^1];
        Assert.Equal("", last.Text);
        Assert.Equal([5, 6, 7], last.Outputs[0].TokenIds);
    }

    [Theory]
    [InlineData("", 1)]
    [InlineData("zzz", 3)]
    [InlineData("by the", 2)]
    public void Deltas_join_to_what_cumulative_outputs_end_with(string stop, int portion)
    {
        int[] ids = Demo.Encode("Chloé saw 猫 and 😀😀 by the sea", addSpecialTokens: false);
        SamplingParams parameters = Params(stop) with { Logprobs = 1 };
        CompletionOutput all = Play(ids, portion, parameters, FinishReason.Length)[^1].Outputs[0];
        RequestOutput[] outputs = Play(ids, portion, parameters with { OutputKind = OutputKind.Delta }, FinishReason.Length);
        CompletionOutput[] deltas = [.. outputs.Select(output => Assert.Single(output.Outputs))];
        Assert.True(outputs.Length > 1);
        Assert.Equal(all.Text, string.Concat(deltas.Select(delta => delta.Text)));
        Assert.Equal(all.TokenIds, deltas.SelectMany(delta => delta.TokenIds));
        Assert.Equal(all.Logprobs!.Select(position => position.Sampled), deltas.SelectMany(delta => delta.Logprobs!).Select(position => position.Sampled));
        Assert.All(outputs, output => Assert.Equal(output.Delta, output.Text));
        Assert.Equal((all.FinishReason, all.StopReason), (deltas[^1].FinishReason, deltas[^1].StopReason));
        Assert.Equal(all.CumulativeLogprob, deltas[^1].CumulativeLogprob);
        Assert.Equal(new TokenUsage(1, all.TokenIds.Count, 0), outputs[^1].Usage);
    }

    [Fact]
    public void What_a_delta_costs_does_not_grow_with_the_text()
    {
        int[] ids = [.. Enumerable.Repeat(Demo.Encode("by the sea ", addSpecialTokens: false), 4000).SelectMany(word => word)];
        var request = new Request(1, [1], new SamplingParams { OutputKind = OutputKind.Delta }, ids.Length, [], blockSize: 4, seed: 0);
        var processor = new OutputProcessor([request], "r", null, [1], Demo, Eos);
        long Cost(int from, int to)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = from; i < to; i++)
            {
                request.Mailbox.Post(ids[i]);
                Assert.True(processor.Advance());
                Assert.Single(processor.Build().Outputs[0].TokenIds);
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Cost(0, 500);
        long early = Cost(500, 1500);
        Cost(1500, ids.Length - 1000);
        long late = Cost(ids.Length - 1000, ids.Length);
        Assert.True(late < 1.5 * early, $"1000 outputs allocated {early} bytes early and {late} late");
    }

    [Fact]
    public void A_final_output_is_the_only_one()
    {
        int[] ids = Demo.Encode("by the sea and the sea", addSpecialTokens: false);
        RequestOutput only = Assert.Single(Play(ids, 1, Params("zz") with { OutputKind = OutputKind.FinalOnly }, FinishReason.Length));
        Assert.Equal(("by the sea and the sea", "by the sea and the sea", true), (only.Text, only.Delta, only.Finished));
        Assert.Equal(ids, only.Outputs[0].TokenIds);
    }

    [Fact]
    public void A_repetition_is_its_own_reason()
    {
        CompletionOutput last = Play([5, 6, 7], 1, Params(""), FinishReason.Repetition)[^1].Outputs[0];
        Assert.Equal((FinishReason.Repetition, "repetition_detected"), (last.FinishReason, last.StopReason));
    }

    [Fact]
    public void Spaces_stand_between_special_tokens_that_are_shown()
    {
        SamplingParams shown = Params("") with { SkipSpecialTokens = false };
        string token = Demo.Decode([Eos], skipSpecialTokens: false);
        Assert.Equal(token + " " + token, Play([Eos, Eos], 1, shown, FinishReason.Length)[^1].Text);
        Assert.Equal(token + token, Play([Eos, Eos], 1, shown with { SpacesBetweenSpecialTokens = false }, FinishReason.Length)[^1].Text);
    }

    private static SamplingParams Params(string stop) => new() { Stop = stop.Length == 0 ? [] : [stop] };

    // Posts ids in portions, as an engine would, and reads after each.
    private static RequestOutput[] Play(int[] ids, int portion, SamplingParams parameters, FinishReason end, int? stopId = null, string? error = null)
    {
        var request = new Request(1, [1], parameters, ids.Length, stopId is { } stop ? [stop] : [], blockSize: 4, seed: 0);
        var processor = new OutputProcessor([request], "r", null, [1], Demo, Eos);
        List<RequestOutput> outputs = [];
        for (int i = 0; i < ids.Length && !processor.Finished; i++)
        {
            request.Mailbox.Logprobs?.Write(i, -i, 1, [ids[i]], [-i], []);
            request.Mailbox.Post(ids[i]);
            if (i == ids.Length - 1)
            {
                request.Mailbox.Finish(end, stopId, error);
            }

            if ((i % portion == portion - 1 || i == ids.Length - 1) && processor.Advance())
            {
                outputs.Add(processor.Build());
            }
        }

        Assert.True(processor.Finished);
        return [.. outputs];
    }
}
