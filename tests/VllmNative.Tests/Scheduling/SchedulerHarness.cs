using VllmNative.Cache;
using VllmNative.Cache.Eviction;
using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>The engine's loop without its thread: schedules on a fake device, commits, and checks the invariants at every turn.</summary>
internal sealed class SchedulerHarness : IDisposable
{
    private readonly OutputPump _pump = new();
    private readonly StepCommitter _committer;
    private readonly Queue<(StepPlan Plan, StepResult Result)> _inFlight = new();
    private readonly SchedulerLimits _limits;
    private readonly bool _hasLatencyTarget;
    private readonly TemporaryDisk? _disk;
    private readonly DiskLoads? _diskLoads;
    private long _nextId;
    private long _stepId;

    internal SchedulerHarness(
        int numBlocks = 64,
        int blockSize = 4,
        int maxSeqs = 4,
        int budget = 64,
        int threshold = 0,
        int stepsInFlight = 1,
        bool prefixCaching = false,
        string eviction = EvictionPolicies.Default,
        SchedulerSetup? setup = null,
        int staticRowTokens = 0,
        int maxLogits = int.MaxValue,
        int? tableUpdates = null,
        int diskBlocks = 0)
    {
        _limits = new SchedulerLimits(maxSeqs, budget, threshold, maxSeqs)
        {
            MaxTableUpdates = tableUpdates ?? (budget / blockSize) + (2 * maxSeqs) + numBlocks,
            StaticRowTokens = staticRowTokens,
            MaxLogits = maxLogits,
        };
        Pool = new BlockPool(numBlocks, eviction);
        int hostBlocks = (setup?.SwapBlocks ?? 0) + (setup?.TierBlocks ?? 0);
        var host = new FakeHostBlocks(hostBlocks, blockSize);
        _disk = diskBlocks > 0 ? new TemporaryDisk(host, blockSize, diskBlocks) : null;
        _hasLatencyTarget = setup?.TargetInterTokenLatency is not null;
        Prefixes = prefixCaching ? new PrefixCache(Pool, hostBlocks, blockSize) : null;
        Scheduler = new Scheduler(_limits, new KvCacheManager(Pool, blockSize, Prefixes), (setup ?? new SchedulerSetup()) with { Disk = _disk?.Thread });
        _diskLoads = Scheduler.Tier is { } tier ? new DiskLoads(Scheduler, tier, blockSize) : null;
        Device = new FakeModelRunner(stepsInFlight, maxSeqs, budget, numBlocks, blockSize, maxBlocks: numBlocks, host);
        BlockSize = blockSize;
        _committer = new StepCommitter(Scheduler, _pump);
    }

    internal BlockPool Pool { get; }

    internal PrefixCache? Prefixes { get; }

    internal Scheduler Scheduler { get; }

    internal FakeModelRunner Device { get; }

    internal int BlockSize { get; }

    internal List<Request> Requests { get; } = [];

    /// <summary>Requests that the last scheduled step took in.</summary>
    internal List<Request> Admitted { get; } = [];

    /// <summary>Rows of all steps: the step, whose, and its tokens afterwards.</summary>
    internal List<(long Step, long Request, int Length)> Planned { get; } = [];

    /// <summary>Whether requests that wait are looked up in the prefix cache in every step, whatever is remembered of them.</summary>
    internal bool LooksUpAlways { get; set; }

    /// <summary>How often something was remembered of one that waited.</summary>
    internal int Remembered { get; private set; }

    /// <summary>What a step takes, for those who learn from it; null = nobody is told.</summary>
    internal Func<StepPlan, double>? StepSeconds { get; set; }

    /// <summary>Rows so far that compute less of a prompt than the bounds of a step would have let them: a latency target's doing.</summary>
    internal int BoundedChunks { get; private set; }

    internal Request Add(
        int[] prompt, int maxTokens, SamplingParams? parameters = null, int[]? stopIds = null, RequestScheduling? scheduling = null, double queuedAt = 0)
    {
        Request request = Create(prompt, maxTokens, parameters, stopIds, scheduling, queuedAt);
        Scheduler.Add(request);
        return request;
    }

    /// <summary>Adds a beam search.</summary>
    internal BeamGroup AddBeams(
        int[] prompt, int maxTokens, SamplingParams parameters, int[] stopIds, int vocabulary, RequestScheduling? scheduling = null, double queuedAt = 0, int[][]? badWords = null)
    {
        var group = new BeamGroup(parameters, maxTokens, (int)BeamGroup.CandidatesOf(parameters.Candidates, stopIds.Length, badWords?.Length ?? 0, vocabulary), badWords);
        for (int i = 0; i < parameters.Candidates; i++)
        {
            group.Add(new Request(++_nextId, prompt, parameters, maxTokens, stopIds, BlockSize, seed: 7, parent: i == 0 ? null : group.Beams[0])
            {
                Beams = group,
                Beam = i,
                Scheduling = scheduling ?? RequestScheduling.Default,
                QueuedAt = queuedAt,
            });
        }

        Scheduler.Add(group.Beams[0]);
        return group;
    }

    /// <summary>Forks a running request: the child begins with the parent's tokens so far.</summary>
    internal Request Fork(Request parent, int maxTokens, int extraToken)
    {
        Request fork = Create([.. parent.Tokens.Span, extraToken], maxTokens, null, null, parent.Scheduling, parent.QueuedAt);
        Scheduler.Fork(parent, fork);
        CheckInvariants();
        return fork;
    }

    /// <summary>Adds another completion of a running request's prompt, which is scheduled by now.</summary>
    internal Request ForkPrompt(Request parent, int maxTokens, SamplingParams parameters)
    {
        Request fork = Create(parent.Tokens.Span[..parent.PromptLength].ToArray(), maxTokens, parameters, null, parent.Scheduling, parent.QueuedAt);
        Scheduler.Fork(parent, fork);
        CheckInvariants();
        return fork;
    }

    private Request Create(int[] prompt, int maxTokens, SamplingParams? parameters, int[]? stopIds, RequestScheduling? scheduling, double queuedAt)
    {
        var request = new Request(++_nextId, prompt, parameters ?? SamplingParams.Greedy, maxTokens, stopIds ?? [], BlockSize, seed: 7)
        {
            Scheduling = scheduling ?? new RequestScheduling(),
            QueuedAt = queuedAt,
        };
        Prefixes?.Prepare(request);
        Requests.Add(request);
        return request;
    }

    internal Request Add(int promptLength, int maxTokens) => Add(FakeLanguage.Prompt((int)_nextId + 1, promptLength), maxTokens);

    /// <summary>Schedules a step and hands it over; null when there was nothing to compute or no room in flight.</summary>
    internal StepPlan? Submit()
    {
        if (_inFlight.Count == Device.MaxStepsInFlight)
        {
            return null;
        }

        var plan = new StepPlan(_limits.MaxNumSeqs, _limits.MaxNumBatchedTokens) { StepId = _stepId + 1 };
        var result = new StepResult(_limits.MaxNumSeqs);
        Admitted.Clear();
        TakeDiskResults();
        ForgetLookUps();
        Scheduler.Schedule(plan, Admitted);
        Planned.AddRange(plan.Rows.Span.ToArray().Select(row => (_stepId, Scheduler.RequestAt(row.Row).Id, row.SequenceLength)));
        _diskLoads?.CheckAsked();
        CheckInvariants();
        CheckPlan(plan);
        if (plan.IsEmpty)
        {
            return null;
        }

        _stepId++;
        Device.Submit(plan, result);
        _inFlight.Enqueue((plan, result));
        CheckTables();
        return plan;
    }

    /// <summary>Collects and commits the oldest step.</summary>
    internal void Collect()
    {
        Device.Collect(Timeout.InfiniteTimeSpan);
        (StepPlan plan, StepResult result) = _inFlight.Dequeue();
        if (result.Failure is null && StepSeconds is not null)
        {
            Scheduler.Observe(plan, StepSeconds(plan));
        }

        _committer.Commit(plan, result);
        CheckInvariants();
    }

    /// <summary>One turn of the engine's loop; false when there is nothing left to do.</summary>
    internal bool Turn()
    {
        StepPlan? plan = Submit();
        if (_inFlight.Count == Device.MaxStepsInFlight || (_inFlight.Count > 0 && plan is null))
        {
            Collect();
            return true;
        }

        return plan is not null;
    }

    /// <summary>One step from plan to commit.</summary>
    internal StepPlan Step()
    {
        StepPlan plan = Submit() ?? throw new InvalidOperationException("nothing to compute");
        Collect();
        return plan;
    }

    internal void End(Request request, FinishReason reason = FinishReason.Abort)
    {
        _committer.End(request, reason, null);
        CheckInvariants();
    }

    /// <summary>Runs until nothing is left; throws when that takes longer than it may.</summary>
    internal int Drain(int mostTurns = 10_000)
    {
        int turns = 0;
        while (Turn() || AwaitDisk())
        {
            Assert.True(++turns <= mostTurns, $"no end after {mostTurns} turns: {Scheduler.RunningCount} running, {Scheduler.WaitingCount} waiting");
        }

        Assert.False(
            Scheduler.HasWork,
            "requests wait, but nothing is computed: " + string.Join("; ", Scheduler.Owners.Select(request =>
                $"{request.Id} {request.Status} tokens {request.Length} of {request.Scheduled} blocks {request.BlockCount} host {request.HostBlockCount} {request.InTransfer} {request.Overtaken} {request.Yields}"))
            + $"; free {Pool.Free} of {Pool.Total}, pinned {Scheduler.Pins.Count}, transfers {Scheduler.Transfers.Any}");
        return turns;
    }

    internal void ResetPrefixCache()
    {
        Scheduler.ResetPrefixCache();
        CheckInvariants();
    }

    internal int PinPrefix(Request like, double until)
    {
        Request probe = Create(like.Tokens.ToArray(), 1, null, null, like.Scheduling, 0);
        Requests.Remove(probe);
        int tokens = Scheduler.PinPrefix(probe, until);
        CheckInvariants();
        return tokens;
    }

    /// <summary>Brings all steps home and moves blocks until nothing moves any more.</summary>
    internal int Defragment()
    {
        while (_inFlight.Count > 0)
        {
            Collect();
        }

        int moved = 0;
        while (true)
        {
            var plan = new StepPlan(_limits.MaxNumSeqs, _limits.MaxNumBatchedTokens) { StepId = _stepId + 1 };
            int blocks = Scheduler.Defragment(plan);
            CheckInvariants();
            if (blocks == 0)
            {
                return moved;
            }

            moved += blocks;
            _stepId++;
            var result = new StepResult(_limits.MaxNumSeqs);
            Device.Submit(plan, result);
            _inFlight.Enqueue((plan, result));
            CheckTables();
            Collect();
        }
    }

    internal static int[] OutputOf(Request request) => request.Tokens.Span[request.PromptLength..].ToArray();

    internal static MailboxState StateOf(Request request) => request.Mailbox.Drain(0, []);

    /// <summary>Takes all of the host's tier away: of a prompt no block goes before those behind it, which are found through it.</summary>
    internal void AssertHostLeavesFromTheEnd(int[] prompt, int leastBlocks)
    {
        Request probe = Add(prompt, 1);
        int[] nodes = new int[Prefixes!.Index.Capacity];
        int[] blocks = [.. nodes.Take(Prefixes.Match(probe, nodes)).Select(Prefixes.Index.HostBlockOf).TakeWhile(block => block != PrefixIndex.None)];
        End(probe);
        Assert.True(leastBlocks > 1 && blocks.Length >= leastBlocks, $"the host has {blocks.Length} blocks of the prompt, expected {leastBlocks}");
        List<int> left = [];
        while (Scheduler.Tier!.TryTake(out int block))
        {
            left.Add(block);
        }

        Assert.Equal(blocks.Reverse(), left.Where(blocks.Contains));
    }

    /// <summary>Waits a little for the disk, if there is one.</summary>
    internal void Linger(int milliseconds) => _disk?.Wait(milliseconds);

    /// <summary>Ends the disk tier's thread and takes the last answers.</summary>
    internal void StopDisk()
    {
        _disk?.Stop();
        TakeDiskResults();
        Assert.False(_diskLoads?.Any ?? false, "requests still wait for the disk");
    }

    public void Dispose()
    {
        _disk?.Dispose();
        _pump.Dispose();
    }

    private void ForgetLookUps()
    {
        foreach (Request request in Scheduler.Waiting)
        {
            Remembered += request.NeededBlocks > 0 ? 1 : 0;
            request.NeededBlocks = LooksUpAlways ? 0 : request.NeededBlocks;
        }
    }

    // Nothing is computed: somebody may wait for the disk alone.
    private bool AwaitDisk()
    {
        if (_diskLoads is not { Any: true } || !Scheduler.HasWork)
        {
            return false;
        }

        _disk!.WaitForAnswer();
        return true;
    }

    private void TakeDiskResults()
    {
        if (_disk is not null)
        {
            Scheduler.TakeDiskResults();
            _diskLoads!.CheckAnswered();
            CheckInvariants();
        }
    }

    private void CheckInvariants()
    {
        Request[] owners = [.. Scheduler.Owners];
        IEnumerable<int> offloading = Scheduler.Transfers.UnderWay.Where(transfer => transfer.Kind == TransferKind.Offload).SelectMany(transfer => transfer.DeviceBlocks.Take(transfer.Count));
        CacheInvariants.Check(Pool, owners, Prefixes, offloading.Concat(Scheduler.Pins.Blocks));
        Assert.True(Scheduler.RunningCount <= _limits.MaxNumSeqs);
        int[] rows = [.. owners.Where(request => request.Row >= 0).Select(request => request.Row)];
        Assert.Equal(rows.Length, rows.Distinct().Count());
        foreach (Request request in Scheduler.Running)
        {
            Assert.True(request.Computed <= request.Scheduled && request.Scheduled <= request.Length + request.Pending);
            Assert.True(request.Blocks.Length >= request.BlockCount && request.BlockCount * BlockSize >= request.Scheduled);
            Assert.Same(request, Scheduler.RequestAt(request.Row));
        }

        Assert.Equal(Scheduler.Waiting.Where(request => request.BlockCount > 0).Select(request => request.Id).Order(), Scheduler.Waiting.Holders.Select(request => request.Id).Order());
        foreach (Request request in Scheduler.Waiting)
        {
            Assert.Equal((-1, 0), (request.Row, request.StepsInFlight));
        }

        if (Scheduler.Swap is { } swap)
        {
            HostInvariants.CheckSwap(swap.Host, owners);
        }

        _diskLoads?.CheckUnchanged();
    }

    private void CheckPlan(StepPlan plan)
    {
        PlanInvariants.Check(plan, Scheduler.RequestAt, Scheduler.Owners, Scheduler.Cache);
        StepRow[] rows = plan.Rows.Span.ToArray();
        int tokens = rows.Sum(row => row.QueryLength);
        Assert.Equal(tokens, plan.NumTokens);
        Assert.True(tokens <= _limits.MaxNumBatchedTokens, $"{tokens} tokens, {_limits.MaxNumBatchedTokens} are the budget");
        Assert.True(rows.Length <= _limits.MaxNumSeqs && plan.NumLogits <= _limits.MaxLogits, $"{rows.Length} rows, {plan.NumLogits} of logits");
        int threshold = _limits.LongPrefillTokenThreshold > 0 ? _limits.LongPrefillTokenThreshold : int.MaxValue;
        Assert.All(rows, row => Assert.InRange(row.QueryLength, 1, threshold));
        int bounded = rows.Count(row => !row.Samples && row.QueryLength < threshold && Scheduler.RequestAt(row.Row) is { Pooling: null, Unscheduled: > 0 });
        if (tokens < _limits.MaxNumBatchedTokens && _limits.MaxLogits == int.MaxValue)
        {
            Assert.True(bounded == 0 || _hasLatencyTarget, "a chunk is shorter than it may be");
            BoundedChunks += bounded;
        }
    }

    // The device's block table, built from updates alone, is the request's.
    private void CheckTables()
    {
        foreach (Request request in Scheduler.Running)
        {
            // The rest it gets before it computes; of a static row, as tokens reach it.
            int filled = Scheduler.Cache.Rows is null ? int.MaxValue : Scheduler.Cache.BlocksFor(request.Scheduled);
            int known = Math.Min(Math.Min(request.BlockCount, request.FirstStaleEntry), filled);
            Assert.Equal(request.Blocks[..known], Device.TableOf(request.Row, known));
        }
    }
}
