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

    private readonly TraceHeader _setup;
    private readonly IVirtualDevice _device;
    private readonly Scheduler _scheduler;
    private readonly HeldRequests _held;
    private readonly SimulatedArrivals _arrivals;
    private readonly SimulatedOrders _orders;
    private readonly int _toServe;
    private readonly Queue<StepPlan> _inFlight = new();
    private readonly Stack<StepPlan> _plans = new();
    private readonly Dictionary<long, SimulatedRequest> _live = [];
    private readonly List<SimulatedRequest> _ending = [];
    private readonly List<Request> _admitted = [];
    private readonly List<RequestOutcome> _requests = [];
    private readonly List<StepOutcome> _steps = [];
    private double _now;
    private long _stepId;

    /// <param name="setup">The engine.</param>
    /// <param name="device">What it computes on.</param>
    /// <param name="requests">What it serves.</param>
    /// <param name="orders">What is asked of its prefix cache, by time.</param>
    internal VirtualEngine(TraceHeader setup, IVirtualDevice device, IReadOnlyList<RecordedRequest> requests, IReadOnlyList<CacheOrder> orders)
    {
        _setup = setup;
        _device = device;
        _toServe = requests.Count;
        _scheduler = SchedulerOf(setup);
        _held = new HeldRequests(_scheduler);
        var tokens = new SyntheticTokens(setup.BlockSize);
        _arrivals = new SimulatedArrivals(requests, device.ComesAt, setup, tokens);
        _orders = new SimulatedOrders(orders, requests, tokens, _scheduler);
        for (int i = 0; i < setup.StepsInFlight; i++)
        {
            _plans.Push(new StepPlan(setup.MaxNumSeqs, setup.MaxNumBatchedTokens));
        }
    }

    /// <summary>The scheduler that it asks.</summary>
    internal Scheduler Scheduler => _scheduler;

    /// <summary>Serves the requests, as far as that is possible; called once.</summary>
    /// <exception cref="VllmException">A request does not fit, or the run is too large.</exception>
    internal RunOutcome Run()
    {
        // Steps of requests that were ended from outside come back after them.
        while (_requests.Count < _toServe || _inFlight.Count > 0)
        {
            _now = _device.NextAction(_now);
            TakeNews();
            bool submitted = TrySubmit();
            if (_device.Lost)
            {
                break;
            }

            if (_inFlight.Count == _setup.StepsInFlight || (_inFlight.Count > 0 && !submitted))
            {
                Collect();
            }
            else if (_inFlight.Count == 0 && !TryWait())
            {
                break;
            }
        }

        return new RunOutcome(_requests, _steps, _setup.NumBlocks) { Unserved = _toServe - _requests.Count };
    }

    private static Scheduler SchedulerOf(TraceHeader setup)
    {
        int blocksOfModel = Math.Min(setup.NumBlocks, (setup.MaxModelLen / setup.BlockSize) + 1);
        var limits = new SchedulerLimits(setup.MaxNumSeqs, setup.MaxNumBatchedTokens, setup.LongPrefillTokenThreshold, setup.MaxNumSeqs)
        {
            MaxOvertakes = setup.MaxOvertakes,
            MaxTableUpdates = (setup.MaxNumBatchedTokens / setup.BlockSize) + (2 * setup.MaxNumSeqs) + Math.Max(blocksOfModel, 8192),
            MaxLogits = setup.MaxNumSeqs,
            StaticRowTokens = setup.StaticRowTokens,
        };
        var pool = new BlockPool(setup.NumBlocks, setup.EvictionPolicy);
        PrefixCache? prefixes = setup.SharesPrefixes ? new PrefixCache(pool, setup.IndexedHostBlocks, setup.BlockSize) : null;
        return new Scheduler(limits, new KvCacheManager(pool, setup.BlockSize, prefixes), new SchedulerSetup
        {
            Policy = SchedulingPolicies.Create(setup.SchedulingPolicy, setup.UserWeights),
            Preemption = setup.PreemptionMode,
            SwapBlocks = setup.SwapBlocks,
            TierBlocks = setup.SharesPrefixes ? setup.OffloadBlocks : 0,
            BlockBytes = setup.BlockBytes,
            AssumedSwapBandwidth = setup.AssumedSwapBandwidth,
            TargetInterTokenLatency = setup.TargetInterTokenLatency,
        });
    }

    // What has come to the engine's thread until now.
    private void TakeNews()
    {
        while (_arrivals.Take(_now) is { } request)
        {
            _live.Add(request.Request.Id, request);
            if (request.Request.Parent is null)
            {
                _scheduler.Add(request.Request);
            }
            else
            {
                _held.Add(request.Request);
            }

            if (request.Recorded.OutputLength == 0)
            {
                // Nothing that it computes ends it, unless it was only to compute its prompt.
                _ending.Add(request);
            }
        }

        for (int i = 0; i < _ending.Count; i++)
        {
            if (_ending[i].Recorded.Ended <= _now)
            {
                End(_ending[i]);
                _ending.RemoveAt(i--);
            }
        }

        _orders.Follow(_now);
    }

    // Nothing to compute: the next thing that happens comes from outside. False when nothing does.
    private bool TryWait()
    {
        double next = Math.Min(_arrivals.Next, _orders.Next);
        foreach (SimulatedRequest request in _ending)
        {
            next = Math.Min(next, request.Recorded.Ended);
        }

        if (double.IsPositiveInfinity(next))
        {
            return false;
        }

        _now = Math.Max(_now, next);
        return true;
    }

    private bool TrySubmit()
    {
        _held.Release();
        if (_inFlight.Count == _setup.StepsInFlight || _device.Stopped || !_scheduler.HasWork)
        {
            return false;
        }

        StepPlan plan = _plans.Peek();
        plan.StepId = _stepId + 1;
        _admitted.Clear();
        _scheduler.Schedule(plan, _admitted);
        _held.Release();
        if (plan.IsEmpty)
        {
            return false;
        }

        if (++_stepId > MostSteps)
        {
            throw new VllmException(FormattableString.Invariant($"simulation: more than {MostSteps} steps, at {_now:0.###} s"));
        }

        _plans.Pop();
        _now = _device.Submit(plan, _now);
        _inFlight.Enqueue(plan);
        return true;
    }

    private void Collect()
    {
        StepPlan plan = _inFlight.Dequeue();
        VirtualStep step = _device.Collect();
        _now = Math.Max(_now, step.Ended);
        _scheduler.Observe(plan, step.Seconds);
        _scheduler.ObserveSwaps(step.SwapBytes, step.SwapSeconds);
        _steps.Add(new StepOutcome(step.Submitted, step.Ended, StepLoad.Of(plan).DecodeRows, _scheduler.Cache.Pool.Used));
        _scheduler.TransfersDone(step.SwapsDone);
        Commit(plan);
        _plans.Push(plan);
    }

    private void Commit(StepPlan plan)
    {
        foreach (StepRow row in plan.Rows.Span)
        {
            Request request = _scheduler.RequestAt(row.Row);
            _scheduler.StepReturned(request);
            request.Pending -= row.Samples ? 1 : 0;
            if (request.Status != RequestStatus.Running || request.Retracted)
            {
                continue;
            }

            request.Computed += row.QueryLength;
            if (row.Samples)
            {
                Take(_live[request.Id], request);
            }
            else
            {
                _scheduler.TokensTaken(request);
            }
        }
    }

    private void Take(SimulatedRequest simulated, Request request)
    {
        if (!simulated.Take(request, _now, _scheduler))
        {
            return;
        }

        if (_device.EndsWithLastToken(simulated.Recorded))
        {
            _ending.Remove(simulated);
            End(simulated);
        }
        else if (!_ending.Contains(simulated))
        {
            _ending.Add(simulated);
        }
    }

    private void End(SimulatedRequest request)
    {
        if (_held.Remove(request.Request))
        {
            request.Request.Status = RequestStatus.Finished;
        }
        else
        {
            request.Finish(_scheduler);
        }

        _live.Remove(request.Request.Id);
        _requests.Add(request.Outcome(_now));
        _arrivals.Left(request.Recorded);
        _orders.Ended(request.Recorded);
    }
}
