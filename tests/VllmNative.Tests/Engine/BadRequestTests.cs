using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Requests that cannot be computed are refused at the door, and nobody else notices.</summary>
public sealed class BadRequestTests
{
    private static readonly SamplingParams Plain = new() { Temperature = 0, MaxTokens = 40, IgnoreEos = true };

    [Fact]
    public async Task Refused_requests_name_value_and_limit_and_disturb_nobody()
    {
        // 5 usable blocks of 16: 80 tokens at most.
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 6, MaxModelLen = 100 });
        int[] prompt = TestEngines.Prompt(1, 20);
        RequestOutput alone = await engine.RunAsync(prompt, Plain);
        Task<RequestOutput> inFlight = engine.RunAsync(prompt, Plain);

        Refused(engine, Array.Empty<int>(), Plain, "prompt", "prompt is empty");
        Refused(engine, new[] { 1, -1 }, Plain, "prompt", "prompt token 1 is -1, expected 0..1535");
        Refused(engine, new[] { 1, 2, 1536 }, Plain, "prompt", "prompt token 2 is 1536, expected 0..1535");
        Refused(engine, new[] { int.MaxValue }, Plain, "prompt", "is 2147483647");
        Refused(engine, TestEngines.Prompt(1, 100), Plain, "prompt", "prompt has 100 tokens, the context holds at most 99");
        Refused(engine, TestEngines.Prompt(1, 5000), Plain, "prompt", "prompt has 5000 tokens, the context holds at most 99");
        Refused(engine, TestEngines.Prompt(1, 81), Plain, "prompt", "prompt has 81 tokens, the KV cache holds at most 80");
        Refused(engine, prompt, Plain with { MaxTokens = 0 }, "max_tokens", "max_tokens is 0, expected at least 1");
        Refused(engine, prompt, Plain with { StopTokenIds = [3, 1536] }, "stop_token_ids", "stop_token_ids has 1536, expected 0..1535");
        Refused(engine, prompt, Plain with { StopTokenIds = [-1] }, "stop_token_ids", "stop_token_ids has -1");
        Refused(engine, prompt, Plain with { Stop = ["x"] }, "stop", "no tokenizer");
        Refused(engine, Prompt.FromText("hello"), Plain, "prompt", "no tokenizer");
        Refused(engine, default, Plain, "prompt", "prompt is empty");
        Assert.Equal("prompt", Assert.Throws<InvalidRequestException>(() => engine.GenerateAsync((int[])null!)).Parameter);

        Assert.Equal(alone.Outputs[0].TokenIds, (await inFlight).Outputs[0].TokenIds);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Token_ids_are_checked_against_the_rows_of_the_head_not_against_the_tokenizer()
    {
        const int rows = 1536;
        using var engine = AsyncLlmEngine.Create(TestEngines.Demo);
        Assert.True(engine.Tokenizer!.VocabSize < rows, $"the tokenizer knows {engine.Tokenizer.VocabSize} tokens");
        const int last = rows - 1;
        SamplingParams only = Plain with { AllowedTokenIds = [last], LogitBias = new Dictionary<int, float> { [last] = 1 }, MaxTokens = 2 };
        CompletionOutput drawn = (await engine.RunAsync([5, last], only with { StopTokenIds = [last] })).Outputs[0];
        Assert.Equal((last, FinishReason.Stop, (object)last), (Assert.Single(drawn.TokenIds), drawn.FinishReason, drawn.StopReason));
        Assert.Equal([last, last], (await engine.RunAsync([5, last], only)).Outputs[0].TokenIds);
        const string expected = "1536, expected 0..1535";
        Refused(engine, new[] { 5, rows }, Plain, "prompt", $"prompt token 1 is {expected}");
        Refused(engine, new[] { 5 }, Plain with { StopTokenIds = [rows] }, "stop_token_ids", $"stop_token_ids has {expected}");
        Refused(engine, new[] { 5 }, Plain with { AllowedTokenIds = [rows] }, "allowed_token_ids", $"allowed_token_ids has {expected}");
        Refused(engine, new[] { 5 }, Plain with { LogitBias = new Dictionary<int, float> { [rows] = 1 } }, "logit_bias", $"logit_bias has {expected}");
    }

    [Fact]
    public async Task What_just_fits_is_computed_to_the_end_of_context_or_pool()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 6, MaxModelLen = 100 });
        RequestOutput pool = await engine.RunAsync(TestEngines.Prompt(1, 80), Plain);
        // The last token needs no slot.
        Assert.Equal((1, FinishReason.Length), (pool.Outputs[0].TokenIds.Count, pool.Outputs[0].FinishReason));
        RequestOutput rest = await engine.RunAsync(TestEngines.Prompt(1, 50), Plain with { MaxTokens = null });
        Assert.Equal((31, FinishReason.Length), (rest.Outputs[0].TokenIds.Count, rest.Outputs[0].FinishReason));
        Assert.Equal(5, engine.Memory.PeakBlocks);
        await engine.AssertAllFreeAsync();

        using var roomy = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxModelLen = 100 });
        RequestOutput context = await roomy.RunAsync(TestEngines.Prompt(1, 99), Plain with { MaxTokens = int.MaxValue });
        Assert.Equal((1, FinishReason.Length), (context.Outputs[0].TokenIds.Count, context.Outputs[0].FinishReason));
    }

    [Fact]
    public void One_bad_prompt_of_a_batch_starts_none()
    {
        using var llm = new LLM(TestEngines.Tiny);
        Assert.Throws<InvalidRequestException>(() => llm.Generate([Prompt.FromTokens([1, 2]), Prompt.FromTokens([9999])], Plain));
        Assert.Equal((0, 0L), (llm.Memory.PeakBlocks, llm.Engine.Core.Steps));
    }

    [Fact]
    public void Each_prompt_of_a_batch_may_have_parameters_of_its_own()
    {
        using var llm = new LLM(TestEngines.Tiny);
        Prompt[] prompts = [Prompt.FromTokens([1, 2]), Prompt.FromTokens([3, 4])];
        SamplingParams longer = Plain with { MaxTokens = 7, IgnoreEos = true };
        IReadOnlyList<RequestOutput> outputs = llm.Generate(prompts, [longer with { MaxTokens = 2 }, longer]);
        Assert.Equal([2, 7], outputs.Select(output => output.Outputs[0].TokenIds.Count));
        InvalidRequestException error = Assert.Throws<InvalidRequestException>(() => llm.Generate(prompts, [longer]));
        Assert.Equal("there are 1 sampling parameters for 2 prompts, expected one for each", error.Message);
    }

    [Fact]
    public async Task The_outputs_of_a_request_are_read_once()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        IAsyncEnumerable<RequestOutput> outputs = engine.GenerateAsync(new[] { 1, 2 }, Plain);
        RequestOutput first = await outputs.LastAsync().WaitAsync(TestEngines.Limit);
        await Assert.ThrowsAsync<InvalidOperationException>(() => outputs.LastAsync().WaitAsync(TestEngines.Limit));
        // The engine did not notice.
        Assert.Equal(first.Outputs[0].TokenIds, (await engine.RunAsync([1, 2], Plain)).Outputs[0].TokenIds);
    }

    private static void Refused(AsyncLlmEngine engine, Prompt prompt, SamplingParams parameters, string parameter, string message)
    {
        var error = Assert.Throws<InvalidRequestException>(() => engine.GenerateAsync(prompt, parameters));
        Assert.Equal(parameter, error.Parameter);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }
}
