using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Simulation;

/// <summary>
/// Pins and resets of the prefix cache, each at its moment of the recording; a pin also waits for the end of the request that computes what it
/// keeps. Pins of requests that the trace lacks are left out.
/// </summary>
internal sealed class SimulatedOrders
{
    private readonly IReadOnlyList<CacheOrder> _orders;
    private readonly Dictionary<long, RecordedRequest> _pinned = [];
    private readonly HashSet<long> _ended = [];
    private readonly List<CacheOrder> _waiting = [];
    private readonly SyntheticTokens _tokens;
    private readonly Scheduler _scheduler;
    private readonly int _blockSize;
    private int _begun;

    /// <param name="orders">By time.</param>
    /// <param name="requests">Those that are served.</param>
    /// <param name="tokens">Stand for what was not recorded.</param>
    /// <param name="scheduler">Of the engine.</param>
    internal SimulatedOrders(IReadOnlyList<CacheOrder> orders, IReadOnlyList<RecordedRequest> requests, SyntheticTokens tokens, Scheduler scheduler)
    {
        (_orders, _tokens, _scheduler, _blockSize) = (orders, tokens, scheduler, scheduler.Cache.BlockSize);
        HashSet<long> ids = [.. orders.Select(order => order.RequestId).OfType<long>()];
        foreach (RecordedRequest request in requests.Where(request => ids.Contains(request.Id)))
        {
            _pinned[request.Id] = request;
        }
    }

    /// <summary>When the next one is due; infinite without one.</summary>
    internal double Next => _begun < _orders.Count ? _orders[_begun].At : double.PositiveInfinity;

    /// <summary>A request has ended.</summary>
    internal void Ended(RecordedRequest recorded)
    {
        if (_pinned.ContainsKey(recorded.Id))
        {
            _ended.Add(recorded.Id);
        }
    }

    /// <summary>Follows those that are due, and ends the pins whose time is up.</summary>
    internal void Follow(double now)
    {
        _scheduler.ExpirePins(now);
        for (; Next <= now; _begun++)
        {
            if (_orders[_begun].RequestId is null)
            {
                _scheduler.ResetPrefixCache();
            }
            else
            {
                _waiting.Add(_orders[_begun]);
            }
        }

        for (int i = 0; i < _waiting.Count; i++)
        {
            if (_ended.Contains(_waiting[i].RequestId!.Value))
            {
                Pin(_pinned[_waiting[i].RequestId!.Value], now + _waiting[i].TimeToLive);
                _waiting.RemoveAt(i--);
            }
        }
    }

    // All its tokens are known, so that a request of them as a prompt finds its blocks.
    private void Pin(RecordedRequest recorded, double until)
    {
        int[] tokens = _tokens.Of(recorded, unique: int.MaxValue).Take(recorded.PromptLength + recorded.OutputLength);
        var request = new Request(0, tokens, SamplingParams.Greedy, maxTokens: 1, [], _blockSize, seed: 0) { Scheduling = new RequestScheduling { CacheSalt = recorded.Salt } };
        _scheduler.PinPrefix(request, until);
    }
}
