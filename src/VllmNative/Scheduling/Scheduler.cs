using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// Decides what each step computes. Running requests come first, then waiting ones while the token budget, the rows and the
/// KV blocks last; a long prompt is computed in chunks. When the pool is full the request that came last loses its blocks
/// and is computed again later. Pure bookkeeping on ids and counts: no tensor, no native call, no clock.
/// </summary>
internal sealed class Scheduler
{
    private readonly SchedulerLimits _limits;
    private readonly KvCacheManager _cache;
    private readonly RowAllocator _rows;
    private readonly RowAllocator _countSlots;
    private readonly List<Request> _running;
    private readonly Request?[] _byRow;
    private readonly RequestQueue _waiting = new();

    // Finished requests whose blocks a step in flight still writes to.
    private readonly List<Request> _leaving;
    private long _preemptions;

    internal Scheduler(SchedulerLimits limits, KvCacheManager cache)
    {
        _limits = limits;
        _cache = cache;
        _rows = new RowAllocator(limits.MaxNumSeqs);
        _countSlots = new RowAllocator(limits.MaxCountSlots);
        _running = new List<Request>(limits.MaxNumSeqs);
        _leaving = new List<Request>(limits.MaxNumSeqs);
        _byRow = new Request?[limits.MaxNumSeqs];
    }

    /// <summary>Who runs, oldest first; the list itself, since enumerating an interface allocates.</summary>
    internal List<Request> Running => _running;

    internal int RunningCount => _running.Count;

    internal int WaitingCount => _waiting.Count;

    internal RequestQueue Waiting => _waiting;

    /// <summary>Who holds a row of the batch state; a row stays with its request until no step in flight uses it.</summary>
    internal Request RequestAt(int row) => _byRow[row] ?? throw new InvalidOperationException($"row {row} has no request");

    internal bool HasWork => _running.Count > 0 || _waiting.Count > 0;

    internal long Preemptions => Volatile.Read(ref _preemptions);

    internal void Add(Request request)
    {
        request.Status = RequestStatus.Waiting;
        _waiting.AddLast(request);
    }

    /// <summary>Fills the plan with the next step; an empty plan means that there is nothing to compute now.</summary>
    /// <param name="plan">Cleared here.</param>
    /// <param name="admitted">Receives the requests that start with this step.</param>
    internal void Schedule(StepPlan plan, List<Request> admitted)
    {
        plan.Clear();
        int budget = _limits.MaxNumBatchedTokens;
        bool preempted = false;
        for (int i = 0; i < _running.Count && budget > 0; i++)
        {
            Request request = _running[i];
            int tokens = ChunkOf(request, budget);
            if (tokens == 0)
            {
                continue;
            }

            if (!TryMakeRoom(request, request.Scheduled + tokens, plan, ref preempted))
            {
                // Nobody behind it is computed either, so that the last ones' steps return and their blocks can be taken.
                preempted = true;
                break;
            }

            budget -= tokens;
            AddRow(plan, request, tokens);
        }

        // A pool that just overflowed takes nobody in.
        while (!preempted && budget > 0 && TryAdmit(plan, budget, out int admittedTokens) is { } request)
        {
            budget -= admittedTokens;
            admitted.Add(request);
        }
    }

    /// <summary>Takes a request out, wherever it is; its blocks return when no step in flight uses them.</summary>
    internal void Finish(Request request)
    {
        if (request.Status == RequestStatus.Finished)
        {
            return;
        }

        if (request.Status == RequestStatus.Running)
        {
            _running.Remove(request);
        }
        else
        {
            _waiting.Remove(request);
        }

        request.Status = RequestStatus.Finished;
        if (request.StepsInFlight > 0)
        {
            _leaving.Add(request);
        }
        else
        {
            GiveBack(request);
        }
    }

    /// <summary>A step of the request came back, whatever its outcome.</summary>
    internal void StepReturned(Request request)
    {
        Debug.Assert(request.StepsInFlight > 0, "a step came back that was not in flight");
        if (--request.StepsInFlight == 0 && request.Status == RequestStatus.Finished && _leaving.Remove(request))
        {
            GiveBack(request);
        }
    }

    /// <summary>Everything that holds blocks; for invariant checks.</summary>
    internal IEnumerable<Request> Owners => _running.Concat(_waiting).Concat(_leaving);

    // Takes blocks from the requests that came last until the request has its own; false when it was preempted itself, or
    // when the next to lose its blocks has a step in flight that still writes to them.
    private bool TryMakeRoom(Request request, int tokens, StepPlan plan, ref bool preempted)
    {
        while (!_cache.TryGrow(request, tokens, plan))
        {
            Request victim = _running[^1];
            if (victim.StepsInFlight > 0)
            {
                return false;
            }

            preempted = true;
            Preempt(victim);
            if (victim == request)
            {
                return false;
            }
        }

        return true;
    }

    private int ChunkOf(Request request, int budget)
    {
        // Steps in flight bring all that it may generate.
        if (request.OutputLength + request.Pending >= request.MaxTokens)
        {
            return 0;
        }

        int tokens = Math.Min(request.Unscheduled, budget);
        int threshold = _limits.LongPrefillTokenThreshold;
        return threshold > 0 ? Math.Min(tokens, threshold) : tokens;
    }

    private Request? TryAdmit(StepPlan plan, int budget, out int tokens)
    {
        tokens = 0;
        // Requests that leave keep their rows until their steps in flight return.
        if (_waiting.First is not { } request || _rows.Free == 0)
        {
            return null;
        }

        bool counts = request.Parameters.HasPenalties;
        // The whole prompt must fit now, so that chunks of many prompts do not starve each other.
        if ((counts && _countSlots.Free == 0) || _cache.BlocksFor(request.Length) > _cache.Pool.Free)
        {
            return null;
        }

        _waiting.RemoveFirst();
        _running.Add(request);
        request.Status = RequestStatus.Running;
        request.Row = _rows.Take();
        _byRow[request.Row] = request;
        request.CountSlot = counts ? _countSlots.Take() : -1;
        tokens = ChunkOf(request, budget);
        bool grown = _cache.TryGrow(request, tokens, plan);
        Debug.Assert(grown, "admission counted the blocks");
        plan.RowUpdates.Add(new RowUpdate(request.Row, 0, 0));
        plan.SamplingUpdates.Add(SamplingOf(request));
        AddRow(plan, request, tokens);
        return request;
    }

    private static void AddRow(StepPlan plan, Request request, int tokens)
    {
        int start = request.Scheduled;
        int firstId = -1;
        if (tokens > 1 || !request.LastTokenOnDevice)
        {
            firstId = plan.TokenIds.Count;
            plan.TokenIds.AddRange(request.Tokens.Span.Slice(start, tokens));
        }

        request.Scheduled += tokens;
        request.StepsInFlight++;
        bool samples = request.Unscheduled == 0;
        if (samples)
        {
            request.Pending++;
            request.LastTokenOnDevice = true;
            plan.AllGreedy &= request.Parameters.IsGreedy;
            plan.AnyPenalties |= request.CountSlot >= 0;
            BanStops(plan, request);
        }

        plan.AddRow(new StepRow(request.Row, tokens, firstId, request.Scheduled, samples ? 1 : 0, request.Parameters.Logprobs ?? -1));
    }

    // min_tokens: what would end the request is banned until then.
    private static void BanStops(StepPlan plan, Request request)
    {
        if (request.OutputLength + request.Pending - 1 >= request.Parameters.MinTokens)
        {
            return;
        }

        foreach (int id in request.StopIds)
        {
            plan.LogitEdits.Add(new LogitEdit(plan.NumLogits, id, float.NegativeInfinity));
        }
    }

    private static SamplingUpdate SamplingOf(Request request)
    {
        SamplingParams p = request.Parameters;
        bool greedy = p.IsGreedy;
        return new SamplingUpdate
        {
            Row = request.Row,
            Seed = request.Seed,
            // Below 0.01 the logits would overflow f32 after division.
            Temperature = greedy ? 0 : Math.Max(p.Temperature, 0.01f),
            TopP = greedy ? 1 : p.TopP,
            TopK = greedy ? 0 : Math.Max(p.TopK, 0),
            MinP = greedy ? 0 : p.MinP,
            PresencePenalty = p.PresencePenalty,
            FrequencyPenalty = p.FrequencyPenalty,
            RepetitionPenalty = p.RepetitionPenalty,
            CountSlot = request.CountSlot,
            Tokens = request.CountSlot >= 0 ? request.Tokens : default,
            PromptLength = request.PromptLength,
        };
    }

    private void Preempt(Request victim)
    {
        Debug.Assert(victim.StepsInFlight == 0, "a request with a step in flight cannot lose its blocks");
        _running.RemoveAt(_running.Count - 1);
        GiveBack(victim);
        victim.Computed = victim.Scheduled = 0;
        victim.Status = RequestStatus.Preempted;
        victim.Preemptions++;
        Volatile.Write(ref _preemptions, _preemptions + 1);
        _waiting.AddFirst(victim);
    }

    private void GiveBack(Request request)
    {
        _cache.Free(request);
        if (request.Row >= 0)
        {
            _byRow[request.Row] = null;
            _rows.Release(request.Row);
            request.Row = -1;
            request.LastTokenOnDevice = false;
        }

        if (request.CountSlot >= 0)
        {
            _countSlots.Release(request.CountSlot);
            request.CountSlot = -1;
        }
    }
}
