using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling.Policies;

namespace VllmNative.Scheduling;

/// <summary>
/// Where the policy says so, running requests of the last ranks make way for the first waiting one: as many as it takes to let that one in,
/// and nobody if that is not enough. An interruption counts as an overtaking.
/// </summary>
internal sealed class Interruption(SchedulerLimits limits, KvCacheManager cache, SchedulingPolicy policy, RunningRequests running, WaitingQueue waiting, SwapSpace? swap, HostTier? tier, PrefixLookUps lookUps)
{
    // A place in a static batch that runs is nobody else's.
    private readonly bool _any = policy.Preempts && cache.Rows is null;
    private Request? _interrupter;

    /// <summary>
    /// Whether what the request lacks is taken from others when it is needed, or has been: then it begins without keeping blocks free for those
    /// that run.
    /// </summary>
    internal bool IsFor(Request request) => request == _interrupter || (_any && running.Count > 0 && WaitingQueue.Before(request, running.Last));

    /// <summary>Marks with <see cref="Request.Yields"/> who makes way in this step.</summary>
    internal void Choose()
    {
        if (!_any)
        {
            return;
        }

        Spare();
        if (_interrupter != waiting.First)
        {
            _interrupter = null;
        }

        if (waiting.First is not { InTransfer: false } first || running.Count == 0 || !WaitingQueue.Before(first, running.Last))
        {
            return;
        }

        if (TryChoose(first))
        {
            _interrupter = first;
        }
        else
        {
            // They would take their places again at once, and be computed again for nothing.
            Spare();
        }
    }

    // False when it does not fit even then.
    private bool TryChoose(Request first)
    {
        int blocks = BlocksMissing(first);
        int rows = running.RowsMissing(first);
        bool stays = false; // somebody who ranks behind it
        for (int i = running.Count - 1; ; i--)
        {
            bool behind = i >= 0 && WaitingQueue.Before(first, running[i]);
            int reserve = behind || stays || first.BlockCount > 0 ? 0 : ReserveBeside(i + 1);
            if (rows <= 0 && blocks + reserve <= 0)
            {
                return true;
            }

            if (!behind || running[i].Overtaken >= limits.MaxOvertakes)
            {
                return false;
            }

            if (running[i].Beams is not null)
            {
                // The others of its group would wait for it, and their rows and blocks with them.
                stays = true;
                continue;
            }

            running[i].Yields = true;
            rows--;
            // Were some of them shared, the next step chooses another victim.
            blocks -= running[i].BlockCount;
        }
    }

    private void Spare()
    {
        for (int i = 0; i < running.Count; i++)
        {
            running[i].Yields = false;
        }
    }

    // Once none of those who stay makes room for it, it keeps some free for them, as everybody does who begins.
    private int ReserveBeside(int staying)
    {
        int promised = 0;
        for (int i = 0; i < staying; i++)
        {
            promised += cache.BlocksToTake(running[i]);
        }

        return promised + (staying / 2);
    }

    // Beyond those that are free, or will be as soon as copies to the host have happened.
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

        return needed - cache.Pool.Free - (swap?.ComingFree ?? 0) - (tier?.ComingFree ?? 0);
    }
}
