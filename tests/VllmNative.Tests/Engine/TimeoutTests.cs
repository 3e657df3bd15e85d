using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Requests that take too long.</summary>
public sealed class TimeoutTests
{
    private static readonly SamplingParams Lengthy = new() { Temperature = 0, MaxTokens = 500, IgnoreEos = true };

    [Fact]
    public async Task A_request_past_its_time_ends_with_an_error_and_keeps_what_it_has()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { RequestTimeout = TimeSpan.FromMilliseconds(60) });
        engine.Device.Inject("embedding", 4, "delay_ms", 150);
        RequestOutput output = await engine.RunAsync([1, 2, 3], Lengthy);
        Assert.Equal(FinishReason.Error, output.Outputs[0].FinishReason);
        Assert.Contains("RequestTimeout", output.Error, StringComparison.Ordinal);
        Assert.InRange(output.Outputs[0].TokenIds.Count, 1, 499);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task A_request_that_waits_too_long_ends_and_the_running_one_goes_on()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 1, QueueTimeout = TimeSpan.FromMilliseconds(40) });
        // A later step, so that the first one has come back before it.
        engine.Device.Inject("embedding", 5, "delay_ms", 120);
        Task<RequestOutput> running = engine.RunAsync([1, 2, 3], Lengthy with { MaxTokens = 40 });
        // The queue's time is no concern of one that runs.
        while (engine.Core.Steps == 0)
        {
            await Task.Yield();
        }

        RequestOutput waited = await engine.RunAsync([4, 5], Lengthy);
        Assert.Contains("QueueTimeout", waited.Error, StringComparison.Ordinal);
        Assert.Equal((FinishReason.Error, 0, 0L), (waited.Outputs[0].FinishReason, waited.Outputs[0].TokenIds.Count, waited.Timings.Scheduled));
        RequestOutput ran = await running;
        Assert.Equal((FinishReason.Length, 40), (ran.Outputs[0].FinishReason, ran.Outputs[0].TokenIds.Count));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Further_completions_of_a_prompt_that_began_in_time_are_not_late(bool beams)
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 2, MaxNumBatchedTokens = 2, QueueTimeout = TimeSpan.FromMilliseconds(40) });
        // Of the prompt's two steps the second, with which the others come, takes longer than anybody may wait.
        engine.Device.Inject("embedding", 2, "delay_ms", 120);
        RequestOutput output = await engine.RunAsync([1, 2, 3], Lengthy with { Temperature = beams ? 0 : 1, N = 2, UseBeamSearch = beams, MaxTokens = 4 });
        Assert.Null(output.Error);
        Assert.All(output.Outputs, completion => Assert.Equal((FinishReason.Length, 4), (completion.FinishReason, completion.TokenIds.Count)));
    }

    [Fact]
    public async Task The_longest_timeout_is_no_timeout()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { RequestTimeout = TimeSpan.MaxValue, QueueTimeout = TimeSpan.MaxValue });
        // Long enough for the deadlines to be looked at.
        engine.Device.Inject("embedding", 2, "delay_ms", 40);
        RequestOutput output = await engine.RunAsync([1, 2, 3], Lengthy with { MaxTokens = 5 });
        Assert.Equal((FinishReason.Length, null), (output.Outputs[0].FinishReason, output.Error));
    }
}
