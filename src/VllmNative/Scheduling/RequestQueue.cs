using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>Requests that wait, first come first served; preempted ones return to the front.</summary>
internal sealed class RequestQueue
{
    private readonly LinkedList<Request> _requests = new();

    internal int Count => _requests.Count;

    internal Request? First => _requests.First?.Value;

    internal IEnumerable<Request> All => _requests;

    internal void AddLast(Request request) => _requests.AddLast(request);

    internal void AddFirst(Request request) => _requests.AddFirst(request);

    internal void RemoveFirst() => _requests.RemoveFirst();

    internal bool Remove(Request request) => _requests.Remove(request);
}
