using System.Collections;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>Requests that wait, first come first served; preempted ones return to the front.</summary>
internal sealed class RequestQueue : IEnumerable<Request>
{
    private readonly LinkedList<Request> _requests = new();

    internal int Count => _requests.Count;

    internal Request? First => _requests.First?.Value;

    internal void AddLast(Request request) => _requests.AddLast(request);

    internal void AddFirst(Request request) => _requests.AddFirst(request);

    internal void RemoveFirst() => _requests.RemoveFirst();

    internal bool Remove(Request request) => _requests.Remove(request);

    /// <summary>A struct: walking the queue allocates nothing.</summary>
    public LinkedList<Request>.Enumerator GetEnumerator() => _requests.GetEnumerator();

    IEnumerator<Request> IEnumerable<Request>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
