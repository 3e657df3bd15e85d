using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Where a step's blocks come from when the pool is short of them: from the running requests of the last rank. Blocks that come free
/// only later, since a step or a copy that reads them is in flight, are promised to those that lack them; these sit out the step, and
/// so do the requests whose steps must return first. Everybody else goes on.
/// </summary>
internal sealed class BlockShortage(KvCacheManager cache, RunningRequests running, SwapSpace? swap, HostTier? tier, Preemption preemption)
{
    private int _arriving;

    /// <summary>How many of the running requests may have rows: those behind give up their blocks once they have no step in flight.</summary>
    internal int Schedulable { get; private set; }

    /// <summary>Whether the pool was short in this step.</summary>
    internal bool Any { get; private set; }

    internal void BeginStep()
    {
        Schedulable = running.Count;
        Any = false;
        _arriving = (swap?.ComingFree ?? 0) + (tier?.ComingFree ?? 0);
    }

    /// <summary>Gives a running request its blocks; false when it sits out this step, or was preempted itself.</summary>
    /// <param name="request">One of the schedulable ones.</param>
    /// <param name="tokens">Its tokens in the KV cache afterwards.</param>
    /// <param name="plan">Gets the copies.</param>
    internal bool TryGrow(Request request, int tokens, StepPlan plan)
    {
        while (!cache.TryGrow(request, tokens, plan))
        {
            Any = true;
            int lacking = cache.BlocksToGrow(request, tokens);
            if (_arriving >= lacking)
            {
                _arriving -= lacking;
                return false;
            }

            // A copy of this step reads its source: that must not be handed out with the same step.
            bool now = plan.BlockCopies.Count == 0;
            Request victim = running[Schedulable - 1];
            if (now && preemption.TryReclaim(behind: victim))
            {
                continue;
            }

            if (now && victim.StepsInFlight == 0)
            {
                Preempt(victim, plan);
            }
            else
            {
                Schedulable--;
                _arriving += cache.CountUnshared(victim);
            }

            if (victim == request)
            {
                return false;
            }
        }

        return true;
    }

    private void Preempt(Request victim, StepPlan plan)
    {
        Schedulable--;
        int before = swap?.ComingFree ?? 0;
        preemption.Preempt(victim, plan);
        _arriving += (swap?.ComingFree ?? 0) - before;
    }
}
