using VllmNative.Engine;
using VllmNative.Tensors;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>bf16 weights and activations against the float32 reference.</summary>
public sealed class DemoBFloat16Tests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("demo", "demo-greedy.json", ResidualDtype.Float32)]
    [InlineData("demo", "demo-greedy.json", ResidualDtype.Model)]
    [InlineData("demo-draft", "demo-draft-greedy.json", ResidualDtype.Float32)]
    [InlineData("demo-draft", "demo-draft-greedy.json", ResidualDtype.Model)]
    public void TeacherForced_StaysCloseToTheReference(string model, string goldenFile, ResidualDtype residual)
    {
        using var harness = new ForwardHarness(TestAssets.Path("models", model), DataType.BFloat16, 16, residual: residual);
        List<TeacherForcing.Step> steps = TeacherForcing.Run(harness, DemoGolden.Load(goldenFile));
        foreach (TeacherForcing.Step step in steps)
        {
            Assert.True(step.Worst <= 0.2, $"{step.Where}: a likely token is off by {step.Worst}");
            Assert.True(step.Golden <= 0.02, $"{step.Where}: the golden token is off by {step.Golden}");
            Assert.True(step.Agrees || step.Gap < 0.02, $"{step.Where}: another token is likelier than the golden one");
        }

        double mean = steps.Average(step => step.Worst);
        output.WriteLine($"{model}, residual {residual}: {steps.Count} steps, golden token off by at most {steps.Max(step => step.Golden):F4}, top-5 by {steps.Max(step => step.Worst):F4}, mean of the largest {mean:F4}");
        Assert.True(mean <= 0.03, $"mean of the largest errors is {mean}");
    }
}
