using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;

namespace VllmNative.Simulation;

/// <summary>
/// The engine's loop on a virtual clock: the scheduler and the KV cache are the real ones, the device only says how long it would have
/// taken. Nothing depends on the time at which it runs, so that two runs are the same.
/// </summary>
internal sealed class VirtualEngine
{
    private const int MostSteps = 10_000_000;

    // 2 GiB of token ids: requests that wait have room for their output already.
    private const long MostLiveTokens = 1L << 28;

    private readonly TraceHeader _setup;
    private readonly StepTimes _times;
    private readonly Scheduler _scheduler;
    private readonly SyntheticTokens _tokens;
    private readonly SimulatedCopies _copies;
    private readonly Queue<(StepPlan Plan, double Submitted)> _inFlight = new();
    private readonly Stack<StepPlan> _plans = new();
    private readonly Dictionary<long, SimulatedRequest> _live = [];
    private readonly List<Request> _admitted = [];
    private readonly List<RequestOutcome> _requests = [];
    private readonly List<StepOutcome> _steps = [];
    private IReadOnlyList<RecordedRequest> _arriving = [];
    private int _arrived;
    private double _now;
    private double _lastEnded;
    private long _liveTokens;
    private long _stepId;
    private long _prefillSteps;

    internal VirtualEngine(TraceHeader setup, StepTimes times)
    {
        _setup = setup;
        _times = times;
        _tokens = new SyntheticTokens(setup.BlockSize);
        _copies = new SimulatedCopies(Math.Max(setup.BlockBytes, 1), times.SwapBytesPerSecond);
        int blocksOfModel = Math.Min(setup.NumBlocks, (setup.MaxModelLen / setup.BlockSize) + 1);
        var limits = new SchedulerLimits(setup.MaxNumSeqs, setup.MaxNumBatchedTokens, setup.LongPrefillTokenThreshold, setup.MaxNumSeqs)
        {
            MaxOvertakes = setup.MaxOvertakes,
            MaxTableUpdates = (setup.MaxNumBatchedTokens / setup.BlockSize) + (2 * setup.MaxNumSeqs) + Math.Max(blocksOfModel, 8192),
            StaticRowTokens = setup.StaticRowTokens,
        };
        var pool = new BlockPool(setup.NumBlocks, setup.EvictionPolicy);
        PrefixCache? prefixes = setup.PrefixCaching && setup.StaticRowTokens == 0 ? new PrefixCache(pool, setup.OffloadBlocks, setup.BlockSize) : null;
        _scheduler = new Scheduler(limits, new KvCacheManager(pool, setup.BlockSize, prefixes), new SchedulerSetup
        {
            Policy = SchedulingPolicies.Create(setup.SchedulingPolicy, setup.UserWeights),
            Preemption = setup.PreemptionMode,
            SwapBlocks = setup.SwapBlocks,
            BlockBytes = setup.BlockBytes,
            AssumedSwapBandwidth = setup.AssumedSwapBandwidth,
            TargetInterTokenLatency = setup.TargetInterTokenLatency,
        });
        for (int i = 0; i < setup.StepsInFlight; i++)
        {
            _plans.Push(new StepPlan(setup.MaxNumSeqs, setup.MaxNumBatchedTokens));
        }
    }

    private long PoolTokens => (_setup.NumBlocks - 1L) * _setup.BlockSize;

    /// <summary>Serves the requests; called once.</summary>
    /// <param name="requests">By arrival, each with output.</param>
    /// <exception cref="VllmException">A request does not fit the KV cache, or the run is too large.</exception>
    internal RunOutcome Run(IReadOnlyList<RecordedRequest> requests)
    {
        _arriving = requests;
        while (_requests.Count < requests.Count)
        {
            TakeArrivals();
            bool submitted = TrySubmit();
            if (_inFlight.Count == _setup.StepsInFlight || (_inFlight.Count > 0 && !submitted))
            {
                Collect();
            }
            else if (_inFlight.Count == 0)
            {
                // Nothing to compute: the next thing that happens is an arrival.
                _now = _arrived < requests.Count
                    ? Math.Max(_now, requests[_arrived].Arrived)
                    : throw new VllmException(FormattableString.Invariant(
                        $"simulation: {_scheduler.WaitingCount} requests wait and none can be computed with {_setup.NumBlocks} KV blocks (NumBlocks)"));
            }
        }

        return new RunOutcome(_requests, _steps, _setup.NumBlocks);
    }

    private void TakeArrivals()
    {
        while (_arrived < _arriving.Count && _arriving[_arrived].Arrived <= _now)
        {
            RecordedRequest recorded = _arriving[_arrived++];
            // The last token is never computed.
            int needed = recorded.PromptLength + recorded.OutputLength - 1;
            if (needed > PoolTokens)
            {
                throw new VllmException(FormattableString.Invariant($"simulation: request {recorded.Id} computes {needed} tokens, the KV cache holds {PoolTokens} (NumBlocks)"));
            }

            var request = new SimulatedRequest(recorded, _arrived, _tokens, _setup.BlockSize, PoolTokens);
            _liveTokens += SizeOf(request.Request);
            if (_liveTokens > MostLiveTokens)
            {
                throw new VllmException(FormattableString.Invariant(
                    $"simulation: the requests that wait at {_now:0.###} s have room for {_liveTokens} tokens together, expected at most {MostLiveTokens}"));
            }

            _live.Add(request.Request.Id, request);
            _scheduler.Add(request.Request);
        }
    }

    private bool TrySubmit()
    {
        if (_inFlight.Count == _setup.StepsInFlight || !_scheduler.HasWork)
        {
            return false;
        }

        StepPlan plan = _plans.Peek();
        plan.StepId = _stepId + 1;
        _admitted.Clear();
        _scheduler.Schedule(plan, _admitted);
        if (plan.IsEmpty)
        {
            return false;
        }

        if (++_stepId > MostSteps)
        {
            throw new VllmException(FormattableString.Invariant($"simulation: more than {MostSteps} steps, at {_now:0.###} s"));
        }

        _plans.Pop();
        // With a step in flight, planning the next one costs nobody time.
        _now += _inFlight.Count == 0 ? _times.HostSeconds : 0;
        _copies.Begin(plan, _now);
        _inFlight.Enqueue((plan, _now));
        return true;
    }

    private void Collect()
    {
        (StepPlan plan, double submitted) = _inFlight.Dequeue();
        StepLoad load = StepLoad.Of(plan);
        double begins = Math.Max(submitted, _lastEnded);
        double ends = begins + _times.Of(load, load.PrefillTokens > 0 ? _prefillSteps++ : _steps.Count - _prefillSteps);
        if (plan.AwaitsSwaps)
        {
            ends = Math.Max(ends, _copies.AllEnd);
        }

        _now = Math.Max(_now, ends);
        _scheduler.Observe(plan, ends - begins);
        _lastEnded = ends;
        (long done, long bytes, double seconds) = _copies.Collect(plan.StepId, ends);
        _scheduler.ObserveSwaps(bytes, seconds);
        _steps.Add(new StepOutcome(submitted, ends, load.DecodeRows, _scheduler.Cache.Pool.Used));
        _scheduler.TransfersDone(done);
        Commit(plan);
        _plans.Push(plan);
    }

    private void Commit(StepPlan plan)
    {
        foreach (StepRow row in plan.Rows.Span)
        {
            Request request = _scheduler.RequestAt(row.Row);
            _scheduler.StepReturned(request);
            request.Pending -= row.LogitCount > 0 ? 1 : 0;
            if (request.Status != RequestStatus.Running || request.Retracted)
            {
                continue;
            }

            request.Computed += row.QueryLength;
            if (row.LogitCount > 0 && _live[request.Id].Take(_now))
            {
                End(request);
            }
            else
            {
                _scheduler.TokensTaken(request);
            }
        }
    }

    private void End(Request request)
    {
        _scheduler.Finish(request);
        _live.Remove(request.Id, out SimulatedRequest? ended);
        _requests.Add(ended!.Outcome(_now));
        _liveTokens -= SizeOf(request);
    }

    private static long SizeOf(Request request) => (long)request.PromptLength + request.MaxTokens;
}
