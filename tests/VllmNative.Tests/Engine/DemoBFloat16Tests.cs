using VllmNative.Tensors;
using VllmNative.Tests.Execution;
using Xunit;
using Chunk = VllmNative.Tests.Execution.ForwardHarness.Chunk;

namespace VllmNative.Tests.Engine;

/// <summary>
/// bf16 weights and activations, teacher-forced on the reference's ids: the error of every step counts, whichever branch
/// a greedy run would have taken.
/// </summary>
public sealed class DemoBFloat16Tests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("demo", "demo-greedy.json")]
    [InlineData("demo-draft", "demo-draft-greedy.json")]
    public void TeacherForced_StaysCloseToTheReference(string model, string goldenFile)
    {
        DemoGolden[] goldens = DemoGolden.Load(goldenFile);
        using var harness = new ForwardHarness(TestAssets.Path("models", model), DataType.BFloat16, 16);
        double worstGolden = 0;
        double worstTop = 0;
        double sumOfWorst = 0;
        int steps = 0;
        for (int i = 0; i < goldens.Length; i++)
        {
            DemoGolden golden = goldens[i];
            float[][] logits = harness.Run(new Chunk(i, 0, [.. golden.PromptIds, .. golden.OutputIds]));
            for (int step = 0; step < golden.OutputIds.Length; step++)
            {
                float[] row = logits[golden.PromptIds.Length + step - 1];
                double logSum = LogSumExp(row);
                double worst = 0;
                foreach ((int id, float expected) in golden.Top[step])
                {
                    double error = Math.Abs(row[id] - logSum - expected);
                    worst = Math.Max(worst, error);
                    Assert.True(error <= 0.2, $"prompt {i} step {step} token {id}: off by {error}");
                    if (id == golden.OutputIds[step])
                    {
                        worstGolden = Math.Max(worstGolden, error);
                        Assert.True(error <= 0.02, $"prompt {i} step {step}: the golden token is off by {error}");
                    }
                }

                if (golden.Top[step][0].Logprob - golden.Top[step][1].Logprob >= 0.02f)
                {
                    Assert.Equal(golden.OutputIds[step], Array.IndexOf(row, row.Max()));
                }

                worstTop = Math.Max(worstTop, worst);
                sumOfWorst += worst;
                steps++;
            }
        }

        output.WriteLine($"{model}: {steps} steps, golden token off by at most {worstGolden:F4}, top-5 by {worstTop:F4}, mean of the largest {sumOfWorst / steps:F4}");
        Assert.True(sumOfWorst / steps <= 0.03, $"mean of the largest errors is {sumOfWorst / steps}");
    }

    private static double LogSumExp(float[] row)
    {
        double max = row.Max();
        return max + Math.Log(row.Sum(logit => Math.Exp(logit - max)));
    }
}
