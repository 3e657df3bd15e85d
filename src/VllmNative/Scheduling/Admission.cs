using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Takes waiting requests in, by rank. One that does not fit may be overtaken by later ones that do, a bounded number of
/// times: then nobody passes it, and what comes free adds up until it fits.
/// </summary>
internal sealed class Admission
{
    // A step looks no further than so many requests that do not fit; those that wait for copies of blocks are not counted.
    private const int MostPassed = 16;

    private readonly SchedulerLimits _limits;
    private readonly KvCacheManager _cache;
    private readonly SchedulingPolicy _policy;
    private readonly RunningRequests _running;
    private readonly WaitingQueue _waiting;
    private readonly SwapSpace? _swap;
    private readonly HostTier? _tier;
    private readonly DiskTier? _disk;
    private readonly StepBudget _budget;
    private readonly StepEventLog _events;
    private readonly StaticBatch? _static;
    private readonly PrefixLookUps _lookUps;
    private readonly Interruption _interruption;
    private readonly List<Request> _passed = [];
    private readonly List<Request> _unfit = []; // of those passed, who does not fit
    private int _promised; // blocks that running requests have still to take for the tokens that they have

    internal Admission(SchedulerLimits limits, KvCacheManager cache, SchedulingPolicy policy, RunningRequests running, WaitingQueue waiting, SwapSpace? swap, HostTier? tier, DiskTier? disk, PrefixLookUps lookUps, Interruption interruption, StepBudget budget, StepEventLog events)
    {
        (_limits, _cache, _policy, _running, _waiting, _swap, _tier, _disk, _lookUps, _interruption, _budget, _events) = (limits, cache, policy, running, waiting, swap, tier, disk, lookUps, interruption, budget, events);
        _static = cache.Rows is { } rows ? new StaticBatch(running, rows.Count) : null;
    }

    /// <summary>Takes in who fits.</summary>
    /// <param name="plan">The step.</param>
    /// <param name="admitted">Receives them.</param>
    internal void Admit(StepPlan plan, List<Request> admitted)
    {
        _promised = 0;
        for (int i = 0; _waiting.Count > 0 && i < _running.Count; i++)
        {
            _promised += _cache.BlocksToTake(_running[i]);
        }

        // While one that has begun lacks room, nobody else takes it.
        if (!TryAdmitBeams(plan, admitted))
        {
            return;
        }

        if (_static is { } batch && !batch.Open())
        {
            return;
        }

        int arriving = 0;
        // Rows are kept for those who arrive: were blocks fetched for more, they would hold them without being computed.
        while (!_budget.IsSpent && !_running.Full && _running.Count + arriving < _running.Most && _unfit.Count < MostPassed && _waiting.First is { } request)
        {
            Admittance how = Consider(request, plan);
            if (how == Admittance.Begun)
            {
                admitted.Add(request);
                _static?.Join();
                if (NoteOvertaken())
                {
                    break;
                }
            }
            else
            {
                _waiting.Remove(request);
                _passed.Add(request);
                arriving += how == Admittance.Arriving ? 1 : 0;
                if (how == Admittance.Unfit)
                {
                    _unfit.Add(request);
                    if (request.Overtaken >= _limits.MaxOvertakes)
                    {
                        break;
                    }
                }
            }

            if (_static is { IsFull: true })
            {
                break;
            }
        }

        foreach (Request request in _passed)
        {
            _waiting.Add(request);
        }

        _passed.Clear();
        _unfit.Clear();
        _static?.EndFilling(_waiting.Count);
    }

    // Beams of groups that have begun; false when there is no room for one.
    private bool TryAdmitBeams(StepPlan plan, List<Request> admitted)
    {
        List<Request> beams = _waiting.Beams;
        bool fit = true;
        for (int i = 0; i < beams.Count && !_budget.IsSpent;)
        {
            Request beam = beams[i];
            if (!beam.AwaitsBeams && Consider(beam, plan) == Admittance.Begun)
            {
                // It is not in the list any more.
                admitted.Add(beam);
                continue;
            }

            if (beam.BlockCount > 0)
            {
                // It stays in the list, with blocks that it may have got just now.
                _waiting.NoteHolder(beam);
            }

            fit &= beam.AwaitsBeams || beam.InTransfer;
            i++;
        }

        return fit;
    }

    // Blocks that stay free when a request begins: those that prompts which run have still to take, and half a block for each that
    // runs, its next tokens on average. Without them a prompt that just fits would be computed only to be preempted a few steps later.
    private int ReserveFor(Request request)
    {
        // Who holds blocks, or for whom other beams wait, would only keep blocks from others meanwhile; static rows have theirs already.
        bool begins = request.BlockCount == 0 && request.Beams is not { HoldsRows: true };
        return begins && !_interruption.IsFor(request) && _static is null ? _promised + (_running.Count / 2) : 0;
    }

    // Everybody in front of the one that was just admitted, but for those who wait for copies: they are not held up by others. True when
    // that was the last time for one of them.
    private bool NoteOvertaken()
    {
        bool last = false;
        foreach (Request request in _unfit)
        {
            last |= ++request.Overtaken >= _limits.MaxOvertakes;
        }

        return last;
    }

    private Admittance Consider(Request request, StepPlan plan)
    {
        if (request.InTransfer)
        {
            return request.SwapsOut ? Admittance.Leaving : Admittance.Arriving;
        }

        if (!_running.HasRowFor(request))
        {
            return Admittance.Unfit;
        }

        if (request.HostBlockCount > 0 && request.BlockCount == 0)
        {
            return _swap!.TrySwapIn(request, plan, ReserveFor(request)) ? Admittance.Arriving : Admittance.Unfit;
        }

        return PrefixLookUps.AppliesTo(request)
            ? ConsiderPrefix(request, plan)
            : Begin(request, plan, [], _cache.BlocksToGrow(request, request.Length), _cache.Pool.Free - ReserveFor(request));
    }

    private Admittance ConsiderPrefix(Request request, StepPlan plan)
    {
        int room = _cache.Pool.Free - ReserveFor(request);
        if (_lookUps.LeastNeeded(request) > room)
        {
            return Admittance.Unfit;
        }

        ReadOnlySpan<int> known = _lookUps.Find(request, out int onDevice, out int needed);
        ReadOnlySpan<int> hits = known[..onDevice];
        if (!Fits(request, plan, needed, room))
        {
            return Admittance.Unfit;
        }

        // Not before it fits, since others may compute or fetch what it begins with while it waits.
        if (_disk is not null && _disk.TryAsk(request, known))
        {
            return Admittance.Arriving;
        }

        ReadOnlySpan<int> onHost = known.Slice(hits.Length, _tier?.HitsOf(known[hits.Length..]) ?? 0);
        if (onHost.IsEmpty)
        {
            return Begin(request, plan, hits, needed, room);
        }

        // Who begins alike waits for the one that fetches it, to share its blocks.
        if (!_tier!.IsComing(onHost[0]))
        {
            _cache.Borrow(request, hits);
            _tier.Onload(request, onHost, plan);
        }

        return Admittance.Arriving;
    }

    private Admittance Begin(Request request, StepPlan plan, ReadOnlySpan<int> hits, int needed, int room)
    {
        if (!Fits(request, plan, needed, room))
        {
            return Admittance.Unfit;
        }

        int tokens = _budget.ChunkOf(request, request.Scheduled + (hits.Length * _cache.BlockSize));
        if (tokens == 0)
        {
            return Admittance.Unfit;
        }

        Start(request, plan, tokens, hits);
        return Admittance.Begun;
    }

    // The whole sequence must fit now, so that chunks of many prompts do not starve each other; so must a copy of a shared block.
    private bool Fits(Request request, StepPlan plan, int needed, int room) =>
        needed <= room && plan.TableUpdates.Count + _cache.BlocksFor(request.Length) < _limits.MaxTableUpdates;

    private void Start(Request request, StepPlan plan, int tokens, ReadOnlySpan<int> hits)
    {
        request.NeededBlocks = 0;
        _waiting.Remove(request);
        _running.Add(request);
        if (hits.Length > 0)
        {
            _cache.Borrow(request, hits);
        }

        // What the host brought, or the one that it is a fork of had, counts like what was found on the device.
        if (hits.Length > 0 || (request.CachedTokens < 0 && request.Scheduled > 0))
        {
            _events.Add(new StepEvent(StepEventKind.PrefixHit, request.Id, request.Scheduled));
        }

        if (request.CachedTokens < 0)
        {
            request.CachedTokens = request.Scheduled;
            // It may have lost again what came from the host.
            request.HostCachedTokens = Math.Min(request.HostCachedTokens, request.Scheduled);
            _cache.Prefixes?.Count(request.Scheduling.SkipReadingPrefixCache ? 0 : request.Length, request.Scheduled);
            _policy.NoteAdmitted(request);
        }

        _events.Add(new StepEvent(StepEventKind.Admitted, request.Id, request.Scheduled));
        PlanWriter.AddAdmission(plan, request);
        KvCacheManager.WriteTable(request, plan);
        bool grown = _cache.TryGrow(request, request.Scheduled + tokens, plan);
        Debug.Assert(grown, "admission counted the blocks");
        _promised += _cache.BlocksToTake(request);
        _budget.TakeLogits(PlanWriter.AddRow(plan, request, tokens));
        _budget.Take(tokens, request.Scheduled);
        _cache.Register(request);
    }

    private enum Admittance
    {
        /// <summary>It is in the step.</summary>
        Begun,

        /// <summary>Blocks that it waits for are on their way; then it wants a row.</summary>
        Arriving,

        /// <summary>Its blocks are on their way to the host.</summary>
        Leaving,

        /// <summary>There is no room for it.</summary>
        Unfit,
    }
}
