using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Requests;

namespace VllmNative.Simulation;

/// <summary>The requests of a trace, one after the other as they come to the engine, and whether it can serve them at all.</summary>
internal sealed class SimulatedArrivals
{
    // 2 GiB of token ids: requests that wait have room for their output already.
    private const long MostLiveTokens = 1L << 28;

    private readonly (RecordedRequest Request, double Comes)[] _arriving;
    private readonly TraceHeader _setup;
    private readonly SyntheticTokens _tokens;

    // First completions, while others of the same prompt are to come.
    private readonly Dictionary<long, int> _children = [];
    private readonly Dictionary<long, Request> _parents = [];
    private int _arrived;
    private long _liveTokens;

    /// <param name="requests">To be served.</param>
    /// <param name="comesAt">When each one comes.</param>
    /// <param name="setup">The engine.</param>
    /// <param name="tokens">Stand for what was not recorded.</param>
    internal SimulatedArrivals(IReadOnlyList<RecordedRequest> requests, Func<RecordedRequest, double> comesAt, TraceHeader setup, SyntheticTokens tokens)
    {
        (_setup, _tokens) = (setup, tokens);
        _arriving = [.. requests.Select(request => (Request: request, Comes: comesAt(request))).OrderBy(arrival => arrival.Comes).ThenBy(arrival => arrival.Request.Id)];
        foreach (long parent in requests.Select(request => request.Parent).OfType<long>())
        {
            _children[parent] = _children.GetValueOrDefault(parent) + 1;
        }
    }

    /// <summary>When the next one comes; infinite without one.</summary>
    internal double Next => _arrived < _arriving.Length ? _arriving[_arrived].Comes : double.PositiveInfinity;

    /// <summary>The next one that has come; null = none.</summary>
    /// <exception cref="VllmException">The engine cannot serve it, or too many wait.</exception>
    internal SimulatedRequest? Take(double now)
    {
        if (Next > now)
        {
            return null;
        }

        (RecordedRequest recorded, double comes) = _arriving[_arrived++];
        Check(recorded);
        _liveTokens += SimulatedRequest.RoomOf(recorded);
        if (_liveTokens > MostLiveTokens)
        {
            throw new VllmException(FormattableString.Invariant(
                $"simulation: the requests that wait at {now:0.###} s have room for {_liveTokens} tokens together, expected at most {MostLiveTokens}"));
        }

        SimulatedRequest request = recorded.Beams > 0
            ? new SimulatedSearch(recorded, _arrived, _tokens, _setup, comes)
            : new SimulatedCompletion(recorded, _arrived, _tokens, _setup, comes, recorded.Parent is { } parent ? ParentOf(parent) : null);
        if (_children.ContainsKey(recorded.Id) && recorded.Beams == 0)
        {
            _parents[recorded.Id] = request.Request;
        }

        return request;
    }

    /// <summary>A request has left.</summary>
    internal void Left(RecordedRequest recorded) => _liveTokens -= SimulatedRequest.RoomOf(recorded);

    private Request? ParentOf(long id)
    {
        Request? parent = _parents.GetValueOrDefault(id);
        if (--_children[id] == 0)
        {
            _children.Remove(id);
            _parents.Remove(id);
        }

        return parent;
    }

    private void Check(RecordedRequest recorded)
    {
        // The last token is never computed.
        int needed = recorded.PromptLength + Math.Max(recorded.OutputLength, 1) - 1;
        if (needed > _setup.RequestTokens)
        {
            string room = _setup.StaticRowTokens > 0 ? "a static row" : "the KV cache";
            throw new VllmException(FormattableString.Invariant($"simulation: request {recorded.Id} computes {needed} tokens, {room} holds {_setup.RequestTokens} (NumBlocks)"));
        }

        if (recorded.Beams > _setup.MaxNumSeqs)
        {
            throw new VllmException(FormattableString.Invariant($"simulation: request {recorded.Id} has {recorded.Beams} beams, which need as many rows; there are {_setup.MaxNumSeqs} (MaxNumSeqs)"));
        }
    }
}
