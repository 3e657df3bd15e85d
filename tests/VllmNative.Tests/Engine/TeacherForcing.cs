using VllmNative.Tests.Execution;
using Chunk = VllmNative.Tests.Execution.ForwardHarness.Chunk;

namespace VllmNative.Tests.Engine;

/// <summary>
/// Runs a model on the reference's own ids, so that the error of every step counts, whichever branch a greedy run would have
/// taken.
/// </summary>
internal static class TeacherForcing
{
    /// <summary>One step of one prompt.</summary>
    /// <param name="Where">Prompt and step, in words.</param>
    /// <param name="Golden">Error of the log-probability of the reference's token.</param>
    /// <param name="Worst">Largest error among the reference's five likeliest tokens.</param>
    /// <param name="Gap">Between the reference's two likeliest.</param>
    /// <param name="Agrees">Whether the likeliest token is the reference's.</param>
    internal readonly record struct Step(string Where, double Golden, double Worst, double Gap, bool Agrees);

    internal static List<Step> Run(ForwardHarness harness, DemoGolden[] goldens)
    {
        List<Step> steps = [];
        for (int i = 0; i < goldens.Length; i++)
        {
            DemoGolden golden = goldens[i];
            float[][] logits = harness.Run(new Chunk(i, 0, [.. golden.PromptIds, .. golden.OutputIds]));
            for (int step = 0; step < golden.OutputIds.Length; step++)
            {
                float[] row = logits[golden.PromptIds.Length + step - 1];
                (int Id, float Logprob)[] top = golden.Top[step];
                double logSum = LogSumExp(row);
                double ErrorOf((int Id, float Logprob) entry) => Math.Abs(row[entry.Id] - logSum - entry.Logprob);
                int id = golden.OutputIds[step];
                steps.Add(new Step(
                    $"prompt {i} step {step}",
                    ErrorOf(top.Single(entry => entry.Id == id)),
                    top.Max(ErrorOf),
                    top[0].Logprob - top[1].Logprob,
                    Array.IndexOf(row, row.Max()) == id));
            }
        }

        return steps;
    }

    private static double LogSumExp(float[] row)
    {
        double max = row.Max();
        return max + Math.Log(row.Sum(logit => Math.Exp(logit - max)));
    }
}
