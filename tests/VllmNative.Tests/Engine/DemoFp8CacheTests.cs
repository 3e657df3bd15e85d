using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tensors;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>
/// An fp8 KV cache against the float32 reference. K and V keep three bits after the leading one, so that an element is off
/// by up to 1/16 of itself. Measured on the CPU: log-probabilities of the golden tokens off by at most 0.018, of the five
/// likeliest by 0.45 (an unlikely one's), the largest of five by 0.05 (demo) and 0.10 (demo-draft) on average.
/// </summary>
public sealed class DemoFp8CacheTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("demo", "demo-greedy.json", true)]
    [InlineData("demo", "demo-greedy.json", false)]
    [InlineData("demo-draft", "demo-draft-greedy.json", true)]
    [InlineData("demo-draft", "demo-draft-greedy.json", false)]
    public void TeacherForced_StaysCloseToTheReference(string model, string goldenFile, bool float32)
    {
        using var harness = new ForwardHarness(TestAssets.Path("models", model), float32 ? DataType.Float32 : DataType.BFloat16, 16, DataType.Float8E4M3);
        List<TeacherForcing.Step> steps = TeacherForcing.Run(harness, DemoGolden.Load(goldenFile));
        double mean = steps.Average(step => step.Worst);
        output.WriteLine($"{model}: {steps.Count} steps, golden token off by at most {steps.Max(step => step.Golden):F4}, top-5 by {steps.Max(step => step.Worst):F4}, mean of the largest {mean:F4}, widest gap that was lost {steps.Where(step => !step.Agrees).Select(step => step.Gap).DefaultIfEmpty().Max():F4}");
        foreach (TeacherForcing.Step step in steps)
        {
            Assert.True(step.Worst <= 0.7, $"{step.Where}: one of the five likeliest tokens is off by {step.Worst}");
            Assert.True(step.Golden <= 0.03, $"{step.Where}: the golden token is off by {step.Golden}");
            Assert.True(step.Agrees || step.Gap < 0.03, $"{step.Where}: another token is likelier than the golden one");
        }

        Assert.True(mean <= 0.15, $"mean of the largest errors is {mean}");
    }

    [Fact]
    public void A_block_takes_a_quarter_of_float32s_bytes_and_the_model_still_speaks()
    {
        EngineOptions options = TestEngines.Demo with { Device = TestDevice.Kind, KvCacheDtype = KvCacheDtype.Fp8 };
        DemoGolden golden = DemoGolden.Load("demo-greedy.json")[0];
        using var exact = new LLM(options with { KvCacheDtype = KvCacheDtype.Auto });
        using var quantized = new LLM(options);
        Assert.Equal(exact.Memory.BlockBytes, 4 * quantized.Memory.BlockBytes);
        RequestOutput answer = quantized.Generate(golden.PromptIds, new SamplingParams { Temperature = 0, MaxTokens = golden.OutputIds.Length });
        Assert.Equal(golden.OutputIds[..4], answer.Outputs[0].TokenIds.Take(4));
    }
}
