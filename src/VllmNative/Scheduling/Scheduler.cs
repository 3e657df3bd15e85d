using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Decides what each step computes. Running requests come first, then waiting ones while the token budget, the rows and the
/// KV blocks last; a long prompt is computed in chunks. When the pool is full the running request of the last rank makes room
/// and goes on later. Pure bookkeeping on ids and counts: no tensor, no native call, no clock.
/// </summary>
internal sealed class Scheduler
{
    private readonly KvCacheManager _cache;
    private readonly SchedulingPolicy _policy;
    private readonly RunningRequests _running;
    private readonly WaitingQueue _waiting = new();
    private readonly BlockTransfers _transfers = new();
    private readonly SwapSpace? _swap;
    private readonly HostTier? _tier;
    private readonly DiskTier? _disk;
    private readonly Preemption _preemption;
    private readonly Interruption _interruption;
    private readonly Admission _admission;
    private readonly BeamMoves _beamMoves;
    private readonly StepBudget _budget;
    private readonly Continuation _continuation;
    private readonly Retraction _retraction;
    private readonly Departures _departures;
    private readonly TransferOutcomes _outcomes;

    // Learned where something depends on it.
    private readonly StepTimeModel? _model;
    private readonly LatencyTarget? _latency;
    private readonly SwapBandwidth _bandwidth;
    private readonly PreemptionCost _cost;

    private readonly PinnedPrefixes _pins;
    private readonly Defragmenter _defragmenter;

    private readonly StepEventLog _events;
    private long _arrivals;
    private long _evictionsSeen;

    internal Scheduler(SchedulerLimits limits, KvCacheManager cache, SchedulerSetup? setup = null)
    {
        setup ??= new SchedulerSetup();
        _cache = cache;
        if (limits.StaticRowTokens > 0)
        {
            cache.DivideIntoRows(limits.StaticRowTokens);
        }

        _policy = setup.Policy ?? new FcfsPolicy();
        _running = new RunningRequests(limits);
        _events = new StepEventLog(4 * limits.MaxNumSeqs);
        // Nobody in a static row is ever short of blocks.
        _swap = setup.SwapBlocks > 0 && cache.Rows is null ? new SwapSpace(new HostBlockPool(0, setup.SwapBlocks), cache, _transfers, _events) : null;
        _tier = setup.TierBlocks > 0 ? new HostTier(new HostBlockPool(setup.SwapBlocks, setup.TierBlocks), cache, _transfers, cache.BlocksFor(limits.MaxNumBatchedTokens)) : null;
        _disk = setup.Disk is { } disk && _tier is not null ? new DiskTier(disk, _tier, cache.Prefixes!, cache.BlockSize) : null;
        _bandwidth = new SwapBandwidth(setup.AssumedSwapBandwidth);
        _model = setup.TargetInterTokenLatency is not null || (_swap is not null && setup.Preemption == PreemptionMode.Auto) ? new StepTimeModel() : null;
        _latency = setup.TargetInterTokenLatency is { } target ? new LatencyTarget(target, _model!) : null;
        _budget = new StepBudget(limits, _latency);
        _cost = new PreemptionCost(_model ?? new StepTimeModel(), _bandwidth, limits.MaxNumBatchedTokens);
        _preemption = new Preemption(setup.Preemption, cache, _running, _waiting, _swap, _cost, setup.BlockBytes, _events);
        var lookUps = new PrefixLookUps(cache);
        _interruption = new Interruption(limits, cache, _policy, _running, _waiting, _swap, _tier, lookUps);
        _admission = new Admission(limits, cache, _policy, _running, _waiting, _swap, _tier, _disk, lookUps, _interruption, _budget, _events);
        _beamMoves = new BeamMoves(cache, _waiting, _swap, _preemption);
        _continuation = new Continuation(limits, cache, _running, _swap, _tier, _budget, _preemption);
        _retraction = new Retraction(cache, _preemption, () => Owners);
        _departures = new Departures(cache, _policy, _running, _waiting, _swap, _retraction, _events, limits.MaxNumSeqs);
        _outcomes = new TransferOutcomes(_transfers, _swap, _tier, _waiting);
        _pins = new PinnedPrefixes(cache.Pool);
        _defragmenter = new Defragmenter(cache.Pool, cache.Prefixes, limits.MaxTableUpdates / 2);
    }

    /// <summary>Who runs, in the order in which they are served; the list itself, since enumerating an interface allocates.</summary>
    internal List<Request> Running => _running.List;

    internal int RunningCount => _running.Count;

    internal int WaitingCount => _waiting.Count;

    internal WaitingQueue Waiting => _waiting;

    internal KvCacheManager Cache => _cache;

    internal SwapSpace? Swap => _swap;

    internal HostTier? Tier => _tier;

    internal PinnedPrefixes Pins => _pins;

    internal DiskTier? Disk => _disk;

    internal BlockTransfers Transfers => _transfers;

    internal bool HasWork => _running.Count > 0 || _waiting.Count > 0 || _waiting.Beams.Count > 0 || _transfers.Any;

    /// <summary>Counts what happens; other threads may read it.</summary>
    internal StepEventLog Events => _events;

    /// <summary>How often a request lost its blocks so far; other threads may read it.</summary>
    internal long Preemptions => _preemption.Count;

    /// <summary>How many of them went to the host instead of being dropped.</summary>
    internal long SwapOuts => _preemption.SwapOuts;

    /// <summary>What swaps have taken so far; of another thread, only while nothing is swapped.</summary>
    internal SwapBandwidth SwapBandwidth => _bandwidth;

    /// <summary>What preemptions are taken to cost; of another thread, only while no step runs.</summary>
    internal PreemptionCost PreemptionCost => _cost;

    /// <summary>
    /// Called before each step is planned, with those that run: whom it marks with <see cref="Request.Yields"/> is interrupted as soon as its
    /// steps in flight have returned, as if another one needed its room. For tests, which have requests interrupted at any moment.
    /// </summary>
    internal Action<List<Request>>? Interrupts { get; set; }

    /// <summary>Everything that holds blocks; for invariant checks.</summary>
    internal IEnumerable<Request> Owners =>
        _running.List.Concat(_waiting).Concat(_departures.Leaving).Concat(_transfers.UnderWay.Select(transfer => transfer.Request).OfType<Request>()).Distinct();

    /// <summary>Most requests that run at the same time, up to what the engine was made for; of another thread, only while nothing runs.</summary>
    internal int MostRunning
    {
        get => _running.Most;
        set => _running.Most = value;
    }

    internal Request RequestAt(int row) => _running.RequestAt(row);

    internal void Add(Request request)
    {
        Enter(request);
        _waiting.Add(request);
    }

    /// <summary>
    /// Adds a request whose tokens begin with all that its running parent has computed or will have: the two share blocks, and
    /// whoever writes to a shared one first gets a copy. In static rows nothing is shared: it computes all of them itself.
    /// </summary>
    internal void Fork(Request parent, Request fork)
    {
        Debug.Assert(parent.Status == RequestStatus.Running, "only a running request can be forked");
        Enter(fork);
        if (_cache.Rows is null)
        {
            // At least one token is left to compute, since its logits are wanted.
            _cache.Share(parent, fork, Math.Min(parent.Scheduled, fork.Length - 1));
        }

        _waiting.Add(fork);
    }

    /// <summary>Forgets all cached prefixes; who runs goes on.</summary>
    internal void ResetPrefixCache()
    {
        _pins.Expire(double.PositiveInfinity);
        _cache.Prefixes?.Reset();
        _tier?.Reset();
        _disk?.Reset();
    }

    /// <summary>Keeps what is cached of a request's beginning until a moment of the engine's clock.</summary>
    /// <returns>Tokens that are kept.</returns>
    internal int PinPrefix(Request request, double until)
    {
        if (_cache.Prefixes is not { } prefixes)
        {
            return 0;
        }

        var nodes = new int[request.Length / _cache.BlockSize];
        prefixes.Enter(request);
        int[] blocks = [.. nodes.Take(prefixes.Match(request, nodes)).Select(prefixes.Index.DeviceBlockOf).TakeWhile(block => block != PrefixIndex.None)];
        prefixes.Leave(request);
        return _pins.Add(blocks, until) * _cache.BlockSize;
    }

    /// <summary>Ends the pins whose time is up.</summary>
    internal void ExpirePins(double now) => _pins.Expire(now);

    /// <summary>Plans a pass of moves after which requests have their blocks one behind the other; with no step in flight.</summary>
    /// <returns>Blocks moved.</returns>
    internal int Defragment(StepPlan plan)
    {
        plan.Clear();
        return _defragmenter.Plan([.. Owners], plan);
    }

    /// <summary>Fills the plan with the next step; an empty plan means that there is nothing to compute now.</summary>
    /// <param name="plan">Cleared here; its id is set.</param>
    /// <param name="admitted">Receives the requests that start with this step.</param>
    internal void Schedule(StepPlan plan, List<Request> admitted)
    {
        plan.Clear();
        _interruption.Choose();
        Interrupts?.Invoke(_running.List);
        int running = _running.Count;
        _budget.Begin(_running);
        bool pressed = !_continuation.TrySchedule(plan);
        _continuation.PreemptYielding(plan);
        // Who has lost its place samples nothing: another one may.
        _budget.TakeLogits(_running.Count - running);
        // A pool that just overflowed takes nobody in, unless nobody is left.
        if (!pressed || _running.Count == 0 || IsStuck(plan))
        {
            _admission.Admit(plan, admitted);
            // Nothing is computed or under way: those who wait hold each other's blocks, or beams that wait for others of their group do, or pins.
            while (IsStuck(plan) && _waiting.Next is { InTransfer: false } first && (_preemption.TryReclaim(keep: first) || _continuation.TryPreemptLast(plan) || _pins.TryEndOne()))
            {
                _admission.Admit(plan, admitted);
            }
        }

        _tier?.Clean(plan);
        // With nothing to compute, a step that only waits says when the copies have happened.
        plan.AwaitsSwaps = plan.Rows.Count == 0 && _transfers.Any;
        HandOverEvents(plan);
    }

    /// <inheritdoc cref="Departures.Finish(Request, bool)"/>
    internal void Finish(Request request, bool failed = false) => _departures.Finish(request, failed);

    /// <summary>The next tokens of a group's beams have been chosen.</summary>
    internal void Advance(BeamGroup group) => _beamMoves.Advance(group);

    /// <inheritdoc cref="Departures.Finish(BeamGroup, bool)"/>
    internal void Finish(BeamGroup group, bool failed) => _departures.Finish(group, failed);

    /// <summary>A step failed as a whole: nobody may build on what it computed or copied.</summary>
    internal void StepFailed(StepPlan plan)
    {
        var failed = new Request[plan.Rows.Count];
        for (int i = 0; i < failed.Length; i++)
        {
            failed[i] = RequestAt(plan.Rows[i].Row);
        }

        _retraction.Taint(failed);
        _transfers.Fail(plan.StepId);
        if (plan.Rows.Count == 0 && plan.BlockCopies.Count > 0)
        {
            // Blocks were to be moved: nobody knows what they hold.
            ResetPrefixCache();
            _retraction.RetractAll();
        }
    }

    /// <summary>A row failed whose request has ended meanwhile: nobody may build on what it computed. Before <see cref="StepReturned"/>.</summary>
    internal void EndedRowFailed(Request request) => _retraction.Taint(request.Beams is { } group ? [.. group.Beams] : [request]);

    /// <inheritdoc cref="Departures.StepReturned"/>
    internal void StepReturned(Request request) => _departures.StepReturned(request);

    /// <summary>The request has taken tokens: full blocks become known.</summary>
    internal void TokensTaken(Request request) => _cache.Register(request);

    /// <summary>A step returned: what it took teaches how long the next ones will take.</summary>
    /// <param name="plan">The step.</param>
    /// <param name="seconds">From the end of the step before it, or from its submission when that was later.</param>
    internal void Observe(StepPlan plan, double seconds)
    {
        if (_model is not null)
        {
            StepLoad load = StepLoad.Of(plan);
            // What the model knew when it predicted counts.
            _latency?.Observe(load, seconds);
            _model.Observe(load, seconds);
        }
    }

    /// <summary>Swaps were measured.</summary>
    internal void ObserveSwaps(long bytes, double seconds) => _bandwidth.Observe(bytes, seconds);

    /// <summary>Takes what the disk has answered meanwhile.</summary>
    internal void TakeDiskResults() => _disk?.TakeResults();

    /// <summary>Copies of all steps up to this one have happened.</summary>
    internal void TransfersDone(long stepId) => _outcomes.Take(stepId);

    private void HandOverEvents(StepPlan plan)
    {
        long evictions = _cache.Pool.Evictions;
        if (evictions > _evictionsSeen)
        {
            _events.Add(new StepEvent(StepEventKind.Evicted, 0, (int)(evictions - _evictionsSeen)));
            _evictionsSeen = evictions;
        }

        _events.HandOver(plan);
    }

    private void Enter(Request request)
    {
        request.Status = RequestStatus.Waiting;
        request.Arrival = ++_arrivals;
        request.Rank = _policy.RankOf(request);
        _cache.Enter(request);
    }

    // Nothing is computed, and no step or copy that comes back will change that.
    private bool IsStuck(StepPlan plan)
    {
        if (plan.Rows.Count > 0 || _transfers.Any || _departures.Leaving.Count > 0 || _disk is { IsAsked: true })
        {
            return false;
        }

        for (int i = 0; i < _running.Count; i++)
        {
            if (_running[i].StepsInFlight > 0)
            {
                return false;
            }
        }

        return true;
    }
}
