using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Planned failures of native operations: who is hurt, who is not, and what works afterwards.</summary>
public sealed class FaultTests
{
    // 3 layers of qkv, output, gate-up and down, then the head.
    private const int GemmsOfStep = (3 * 4) + 1;

    private static readonly SamplingParams Plain = new() { Temperature = 0, MaxTokens = 24, IgnoreEos = true };

    [Theory]
    [InlineData("embedding")]
    [InlineData("gemm")]
    [InlineData("attention_paged")]
    [InlineData("rope_cache_write")]
    [InlineData("batch_prepare")]
    [InlineData("batch_commit")]
    [InlineData("sample")]
    public async Task A_step_that_fails_ends_its_requests_only(string operation)
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 2 });
        int[][] prompts = [.. Enumerable.Range(0, 3).Select(i => TestEngines.Prompt(i, 10 + i))];
        RequestOutput golden = await engine.RunAsync(prompts[2], Plain);

        engine.Hold(50);
        engine.Device.Inject(operation, operation == "gemm" ? 5 * GemmsOfStep : 7, "fail", (int)VllmNative.Bindings.NativeStatus.Internal);
        RequestOutput[] outputs = await engine.RunAllAsync(prompts.Select(prompt => (prompt, Plain)));
        Assert.All(outputs[..2], output =>
        {
            Assert.Equal((FinishReason.Error, true), (output.Outputs[0].FinishReason, output.Finished));
            Assert.Contains($"{operation}: injected failure", output.Error, StringComparison.Ordinal);
        });

        // The third waited, or was in no failing step.
        Assert.Null(outputs[2].Error);
        Assert.Equal(golden.Outputs[0].TokenIds, outputs[2].Outputs[0].TokenIds);
        Assert.Equal(golden.Outputs[0].TokenIds, (await engine.RunAsync(prompts[2], Plain)).Outputs[0].TokenIds);
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Tokens_from_before_a_failure_are_kept()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[] prompt = TestEngines.Prompt(1, 10);
        RequestOutput golden = await engine.RunAsync(prompt, Plain);
        engine.Device.Inject("sample", 6, "fail", (int)VllmNative.Bindings.NativeStatus.OutOfDeviceMemory);
        RequestOutput output = await engine.RunAsync(prompt, Plain);
        Assert.Equal(FinishReason.Error, output.Outputs[0].FinishReason);
        Assert.Equal(golden.Outputs[0].TokenIds.Take(5), output.Outputs[0].TokenIds);
    }

    [Fact]
    public async Task Logits_that_are_not_numbers_end_their_own_request_only()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        int[][] prompts = [.. Enumerable.Range(0, 3).Select(i => TestEngines.Prompt(i, 10 + i))];
        RequestOutput[] golden = [.. await Task.WhenAll(prompts.Select(prompt => engine.RunAsync(prompt, Plain)))];

        engine.Hold(50);
        engine.Device.Inject("gemm", 10 * GemmsOfStep, "nan_row", 1);
        RequestOutput[] outputs = await engine.RunAllAsync(prompts.Select(prompt => (prompt, Plain)));
        RequestOutput bad = Assert.Single(outputs, output => output.Outputs[0].FinishReason == FinishReason.Error);
        Assert.Contains("NaN", bad.Error, StringComparison.Ordinal);
        Assert.InRange(bad.Outputs[0].TokenIds.Count, 5, 10);
        for (int i = 0; i < outputs.Length; i++)
        {
            int count = outputs[i].Outputs[0].TokenIds.Count;
            Assert.Equal(golden[i].Outputs[0].TokenIds.Take(count), outputs[i].Outputs[0].TokenIds);
            Assert.Equal(outputs[i] == bad ? FinishReason.Error : FinishReason.Length, outputs[i].Outputs[0].FinishReason);
        }

        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Blocks_that_held_no_numbers_do_not_hurt_their_next_owner()
    {
        // 3 usable blocks of 16, so that every request is given the same ones.
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 4 });
        int[] prompt = TestEngines.Prompt(1, 18);
        RequestOutput golden = await engine.RunAsync(prompt, Plain);
        for (int row = 15; row < 45; row++)
        {
            // The first layer's keys and values of one token of a long prompt.
            engine.Device.Inject("gemm", 1, "nan_row", row);
            RequestOutput bad = await engine.RunAsync(TestEngines.Prompt(2, 47), Plain);
            Assert.Equal(FinishReason.Error, bad.Outputs[0].FinishReason);
            Assert.Empty(bad.Outputs[0].TokenIds);
        }

        RequestOutput after = await engine.RunAsync(prompt, Plain);
        Assert.Equal(golden.Outputs[0].TokenIds, after.Outputs[0].TokenIds);
    }
}
