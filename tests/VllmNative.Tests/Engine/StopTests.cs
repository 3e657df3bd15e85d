using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>How completions of the demo model end.</summary>
public sealed class StopTests(StopTests.DemoEngine demo) : IClassFixture<StopTests.DemoEngine>
{
    // A prompt each for a long story with accents and for a short answer that ends by itself.
    private const int Story = 1;
    private const int Answer = 7;

    private static readonly SamplingParams Greedy = new() { Temperature = 0, MaxTokens = 60 };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stop_string_ends_the_text_where_it_first_stands(bool include)
    {
        string text = (await demo.RunAsync(Story, Greedy)).Text;
        Assert.Contains('ö', text);
        for (int at = 1; at + 6 < text.Length; at += 13)
        {
            foreach (int length in new[] { 1, 3, 6 })
            {
                string stop = text.Substring(at, length);
                int first = text.IndexOf(stop, StringComparison.Ordinal);
                await AssertStopsAsync(stop, include ? text[..(first + length)] : text[..first], include);
            }
        }

        await AssertStopsAsync("jörn", text[..(text.IndexOf("jörn", StringComparison.Ordinal) + (include ? 4 : 0))], include);
    }

    [Fact]
    public async Task The_engine_stops_computing_soon_after_a_stop_string()
    {
        long before = demo.Engine.Core.Steps;
        await demo.RunAsync(Story, Greedy with { Stop = ["day"], MaxTokens = 1000, IgnoreEos = true });
        await demo.Engine.AssertAllFreeAsync();
        Assert.True(demo.Engine.Core.Steps - before < 500, $"{demo.Engine.Core.Steps - before} steps");
    }

    [Fact]
    public async Task A_stop_token_is_the_reason_and_the_end_of_sequence_is_not()
    {
        RequestOutput free = await demo.RunAsync(Story, Greedy);
        int[] ids = [.. free.Outputs[0].TokenIds];
        int stop = ids[10];
        int first = Array.IndexOf(ids, stop);
        CompletionOutput stopped = (await demo.RunAsync(Story, Greedy with { StopTokenIds = [stop, stop] })).Outputs[0];
        Assert.Equal(ids[..(first + 1)], stopped.TokenIds);
        Assert.Equal((FinishReason.Stop, (object)stop), (stopped.FinishReason, stopped.StopReason));
        Assert.Equal(demo.Engine.Tokenizer!.Decode(ids.AsSpan(0, first)), stopped.Text);

        CompletionOutput ended = (await demo.RunAsync(Answer, Greedy)).Outputs[0];
        Assert.Equal((FinishReason.Stop, null, 2), (ended.FinishReason, ended.StopReason, ended.TokenIds[^1]));
        Assert.Equal(demo.Goldens[Answer].Output, ended.Text);

        // The same id, asked for as a stop token where the end of sequence counts for nothing.
        CompletionOutput asked = (await demo.RunAsync(Answer, Greedy with { IgnoreEos = true, StopTokenIds = [2] })).Outputs[0];
        Assert.Equal((FinishReason.Stop, (object)2), (asked.FinishReason, asked.StopReason));
        Assert.Equal(ended.TokenIds, asked.TokenIds);
    }

    [Fact]
    public async Task Min_tokens_puts_every_end_off()
    {
        int natural = (await demo.RunAsync(Answer, Greedy)).Outputs[0].TokenIds.Count;
        CompletionOutput longer = (await demo.RunAsync(Answer, Greedy with { MinTokens = natural + 5 })).Outputs[0];
        Assert.True(longer.TokenIds.Count > natural + 5 || longer.FinishReason == FinishReason.Length);
        Assert.DoesNotContain(2, longer.TokenIds.Take(natural + 5));
        Assert.DoesNotContain(0, longer.TokenIds.Take(natural + 5));
        CompletionOutput full = (await demo.RunAsync(Answer, Greedy with { MinTokens = 60 })).Outputs[0];
        Assert.Equal((60, FinishReason.Length), (full.TokenIds.Count, full.FinishReason));
    }

    [Fact]
    public async Task Max_tokens_and_ignore_eos_end_with_length()
    {
        CompletionOutput ended = (await demo.RunAsync(Answer, Greedy with { MaxTokens = 3 })).Outputs[0];
        Assert.Equal((3, FinishReason.Length, null), (ended.TokenIds.Count, ended.FinishReason, ended.StopReason));
        CompletionOutput ignored = (await demo.RunAsync(Answer, Greedy with { IgnoreEos = true })).Outputs[0];
        Assert.Equal((60, FinishReason.Length), (ignored.TokenIds.Count, ignored.FinishReason));
    }

    [Fact]
    public async Task Streams_grow_and_their_timings_only_go_forward()
    {
        RequestOutput previous = null!;
        string joined = "";
        await foreach (RequestOutput output in demo.Engine.GenerateAsync(demo.Goldens[Story].PromptIds, Greedy with { Logprobs = 2 }, "mine"))
        {
            joined += output.Delta;
            RequestTimings t = output.Timings;
            Assert.True(0 < t.Arrived && t.Arrived <= t.Queued && t.Queued <= t.Scheduled && t.Scheduled <= t.FirstToken);
            Assert.Equal(output.Outputs[0].TokenIds.Count, output.Outputs[0].Logprobs!.Count);
            Assert.Equal(("mine", joined), (output.RequestId, output.Text));
            if (previous is not null)
            {
                Assert.False(previous.Finished);
                Assert.Equal((previous.Timings.Arrived, previous.Timings.FirstToken), (t.Arrived, t.FirstToken));
                Assert.StartsWith(previous.Text, output.Text, StringComparison.Ordinal);
                Assert.Equal(previous.Outputs[0].TokenIds, output.Outputs[0].TokenIds.Take(previous.Outputs[0].TokenIds.Count));
            }

            previous = output;
        }

        Assert.True(previous.Finished && previous.Timings.LastToken >= previous.Timings.FirstToken);
        Assert.True(previous.Timings.TimeToFirstToken > TimeSpan.Zero && previous.Timings.Total >= previous.Timings.TimeToFirstToken);
        Assert.True(previous.Timings.TimePerOutputToken(60) > TimeSpan.Zero);
    }

    private async Task AssertStopsAsync(string stop, string expected, bool include)
    {
        string joined = "";
        RequestOutput last = null!;
        await foreach (RequestOutput output in demo.Engine.GenerateAsync(demo.Goldens[Story].PromptIds, Greedy with { Stop = ["never", stop], IncludeStopStrInOutput = include, Logprobs = 0 }))
        {
            joined += output.Delta;
            Assert.StartsWith(output.Text, expected, StringComparison.Ordinal);
            last = output;
        }

        Assert.Equal((expected, expected), (last.Text, joined));
        CompletionOutput completion = last.Outputs[0];
        Assert.Equal((FinishReason.Stop, (object)stop), (completion.FinishReason, completion.StopReason));
        Assert.Equal(completion.TokenIds.Count, completion.Logprobs!.Count);
        Assert.Contains(stop, demo.Engine.Tokenizer!.Decode([.. completion.TokenIds]), StringComparison.Ordinal);
        Assert.DoesNotContain(stop, demo.Engine.Tokenizer!.Decode([.. completion.TokenIds.SkipLast(1)]), StringComparison.Ordinal);
    }

    public sealed class DemoEngine : IDisposable
    {
        public AsyncLlmEngine Engine { get; } = AsyncLlmEngine.Create(TestEngines.Demo);

        internal DemoGolden[] Goldens { get; } = DemoGolden.Load("demo-greedy.json");

        public Task<RequestOutput> RunAsync(int golden, SamplingParams parameters) => Engine.RunAsync(Goldens[golden].PromptIds, parameters);

        public void Dispose() => Engine.Dispose();
    }
}
