using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Tests.Execution;

/// <summary>A step that the fake device has been given and that was not collected yet: its plan, and what came of it.</summary>
internal sealed class FakeFlight(StepPlan plan, StepResult result, Exception? failure)
{
    private readonly int _fingerprint = Fingerprint(plan);

    internal StepPlan Plan => plan;

    internal StepResult Result => result;

    internal Exception? Failure => failure;

    internal bool PlanHasChanged => Fingerprint(plan) != _fingerprint;

    internal HashSet<int> Blocks { get; } = [];

    internal HashSet<int> Written { get; } = [];

    internal List<(HiddenPooling Target, int Position, int Token)> Hidden { get; } = [];

    internal List<(RowStatus Status, int[] Ids)> Rows { get; } = [];

    /// <summary>By row of logits that samples: the tokens that it follows.</summary>
    internal Dictionary<int, int[]> Histories { get; } = [];

    private static int Fingerprint(StepPlan plan)
    {
        var hash = new HashCode();
        hash.Add(plan.StepId);
        foreach (StepRow row in plan.Rows.Span)
        {
            hash.Add(row);
        }

        foreach (int id in plan.TokenIds.Span)
        {
            hash.Add(id);
        }

        foreach (TableUpdate update in plan.TableUpdates.Span)
        {
            hash.Add(update);
        }

        foreach (BlockCopy copy in plan.BlockCopies.Span)
        {
            hash.Add(copy);
        }

        foreach (BlockSwap swap in plan.BlockSwaps.Span)
        {
            hash.Add(swap);
        }

        foreach (SamplingUpdate update in plan.SamplingUpdates.Span)
        {
            foreach (int id in update.Tokens.Span)
            {
                hash.Add(id);
            }
        }

        return hash.ToHashCode();
    }
}
