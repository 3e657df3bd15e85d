using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Plans the next tokens of the requests that run, in their order, as far as budget and blocks last; what happens when blocks are short is
/// <see cref="BlockShortage"/>'s, what waits <see cref="Admission"/>'s.
/// </summary>
internal sealed class Continuation
{
    private readonly KvCacheManager _cache;
    private readonly RunningRequests _running;
    private readonly StepBudget _budget;
    private readonly Preemption _preemption;
    private readonly BlockShortage _shortage;
    private readonly int _mostStaleEntries;

    internal Continuation(SchedulerLimits limits, KvCacheManager cache, RunningRequests running, SwapSpace? swap, HostTier? tier, StepBudget budget, Preemption preemption)
    {
        _cache = cache;
        _running = running;
        _budget = budget;
        _preemption = preemption;
        _shortage = new BlockShortage(cache, running, swap, tier, preemption);
        // What rows may need besides: the tokens' blocks, and a copied or begun one for each.
        _mostStaleEntries = limits.MaxTableUpdates - (limits.MaxNumBatchedTokens / cache.BlockSize) - (2 * limits.MaxNumSeqs);
    }

    /// <summary>Adds the rows of a step.</summary>
    /// <returns>False when the pool was short of blocks.</returns>
    internal bool TrySchedule(StepPlan plan)
    {
        int stale = 0;
        _shortage.BeginStep();
        for (int i = 0; i < _shortage.Schedulable && !_budget.IsSpent; i++)
        {
            Request request = _running[i];
            int tokens = request.Retracted || request.Yields || request.AwaitsToken ? 0 : _budget.ChunkOf(request, request.Scheduled);
            if (tokens == 0)
            {
                continue;
            }

            stale += Math.Max(0, request.BlockCount - request.FirstStaleEntry);
            if (stale > _mostStaleEntries)
            {
                break;
            }

            if (!_shortage.TryGrow(request, request.Scheduled + tokens, plan))
            {
                continue;
            }

            // Last, since only a plan with rows is certain to be submitted.
            KvCacheManager.WriteStaleEntries(request, plan);
            _budget.TakeLogits(PlanWriter.AddRow(plan, request, tokens) - 1);
            _budget.Take(tokens, request.Scheduled);
            _cache.Register(request);
        }

        return !_shortage.Any;
    }

    /// <summary>Interrupts those that make way for requests of higher rank.</summary>
    internal void PreemptYielding(StepPlan plan)
    {
        for (int i = _running.Count - 1; i >= 0; i--)
        {
            Request request = _running[i];
            if (request.Yields && request.StepsInFlight == 0 && !request.Retracted && plan.BlockCopies.Count == 0)
            {
                request.Overtaken++;
                _preemption.Preempt(request, plan);
            }
        }
    }

    /// <summary>Interrupts the request of the last rank, when nothing is in flight: a beam that waits for its group loses nothing that its last step said.</summary>
    internal bool TryPreemptLast(StepPlan plan)
    {
        if (_running.Count == 0)
        {
            return false;
        }

        _preemption.Preempt(_running.Last, plan);
        return true;
    }
}
