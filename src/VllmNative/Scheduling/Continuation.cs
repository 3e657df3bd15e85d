using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Plans the next tokens of the requests that run, in their order, as far as budget and blocks last; those of the last rank lose their blocks to
/// those before them. What waits is <see cref="Admission"/>'s.
/// </summary>
internal sealed class Continuation
{
    private readonly KvCacheManager _cache;
    private readonly RunningRequests _running;
    private readonly SwapSpace? _swap;
    private readonly StepBudget _budget;
    private readonly Preemption _preemption;
    private readonly int _mostStaleEntries;

    internal Continuation(SchedulerLimits limits, KvCacheManager cache, RunningRequests running, SwapSpace? swap, StepBudget budget, Preemption preemption)
    {
        _cache = cache;
        _running = running;
        _swap = swap;
        _budget = budget;
        _preemption = preemption;
        // What rows may need besides: the tokens' blocks, and a copied or begun one for each.
        _mostStaleEntries = limits.MaxTableUpdates - (limits.MaxNumBatchedTokens / cache.BlockSize) - (2 * limits.MaxNumSeqs);
    }

    /// <summary>Adds the rows of a step.</summary>
    /// <returns>False when the pool overflowed.</returns>
    internal bool TrySchedule(StepPlan plan)
    {
        bool preempted = false;
        int stale = 0;
        for (int i = 0; i < _running.Count && !_budget.IsSpent; i++)
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

            if (!TryMakeRoom(request, request.Scheduled + tokens, plan, ref preempted))
            {
                // Nobody behind it is computed either, so that the last ones' steps return and their blocks can be taken.
                return false;
            }

            // Last, since only a plan with rows is certain to be submitted.
            KvCacheManager.WriteStaleEntries(request, plan);
            _budget.TakeLogits(PlanWriter.AddRow(plan, request, tokens) - 1);
            _budget.Take(tokens, request.Scheduled);
            _cache.Register(request);
        }

        return !preempted;
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

    // Takes blocks from the running requests of the last rank until the request has its own; false when it was preempted itself, or
    // when the blocks come free only later.
    private bool TryMakeRoom(Request request, int tokens, StepPlan plan, ref bool preempted)
    {
        while (!_cache.TryGrow(request, tokens, plan))
        {
            if (_swap is not null && _swap.ComingFree >= _cache.BlocksFor(tokens) - request.BlockCount + 1)
            {
                return false;
            }

            // A copy of this step reads its sources: they must not be handed out with the same step.
            if (plan.BlockCopies.Count > 0)
            {
                return false;
            }

            if (_preemption.TryReclaim())
            {
                continue;
            }

            Request victim = _running.Last;
            if (victim.StepsInFlight > 0)
            {
                return false;
            }

            preempted = true;
            _preemption.Preempt(victim, plan);
            if (victim == request)
            {
                return false;
            }
        }

        return true;
    }
}
