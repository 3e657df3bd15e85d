using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling.Policies;

namespace VllmNative.Scheduling;

/// <summary>
/// Where the policy says so, running requests of the last ranks make way for the first waiting one, as many as it takes to let that one in;
/// an interruption counts as an overtaking.
/// </summary>
internal sealed class Interruption(SchedulerLimits limits, KvCacheManager cache, SchedulingPolicy policy, RunningRequests running, WaitingQueue waiting, SwapSpace? swap, PrefixLookUps lookUps)
{
    // A place in a static batch that runs is nobody else's.
    private readonly bool _any = policy.Preempts && cache.Rows is null;

    private Request? _interrupter;

    /// <summary>Whether the request may interrupt somebody, or has: what it lacks is taken from them, so that nothing else need be kept free for those that go on.</summary>
    internal bool IsFor(Request request) => request == _interrupter || (_any && running.Count > 0 && WaitingQueue.Before(request, running.Last));

    /// <summary>Marks with <see cref="Request.Yields"/> who makes way in this step.</summary>
    internal void Choose()
    {
        if (!_any)
        {
            return;
        }

        for (int i = 0; i < running.Count; i++)
        {
            running[i].Yields = false;
        }

        if (waiting.First is not { InTransfer: false } first || running.Count == 0 || !WaitingQueue.Before(first, running.Last))
        {
            return;
        }

        int blocks = BlocksMissing(first);
        int rows = running.RowsMissing(first);
        for (int i = running.Count - 1; i >= 0 && (blocks > 0 || rows > 0); i--)
        {
            Request victim = running[i];
            if (victim.Beams is not null)
            {
                // The others of its group would wait for it, and their rows and blocks with them.
                continue;
            }

            if (!WaitingQueue.Before(first, victim) || victim.Overtaken >= limits.MaxOvertakes)
            {
                break;
            }

            _interrupter = first;
            victim.Yields = true;
            rows--;
            // Were some of them shared, the next step chooses another victim.
            blocks -= victim.BlockCount;
        }
    }

    // Beyond those that are free, or will be as soon as interrupted requests are on the host.
    private int BlocksMissing(Request first)
    {
        int needed;
        if (PrefixLookUps.AppliesTo(first))
        {
            lookUps.Find(first, out _, out needed);
        }
        else
        {
            needed = cache.BlocksToGrow(first, first.Length);
        }

        return needed - cache.Pool.Free - (swap?.ComingFree ?? 0);
    }
}
