using System.Collections;
using System.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>
/// Requests that wait, first come first served; preempted ones return to the front. The links lie in the requests, so that
/// a burst of arrivals allocates nothing on the engine thread.
/// </summary>
internal sealed class RequestQueue : IEnumerable<Request>
{
    private Request? _last;

    internal int Count { get; private set; }

    internal Request? First { get; private set; }

    internal void AddLast(Request request) => Insert(_last, request, null);

    internal void AddFirst(Request request) => Insert(null, request, First);

    internal void RemoveFirst() => Remove(First ?? throw new InvalidOperationException("the queue is empty"));

    /// <summary>Takes a request out; false when it does not wait here.</summary>
    internal bool Remove(Request request)
    {
        if (!Contains(request))
        {
            return false;
        }

        Link(request.PreviousWaiting, request.NextWaiting);
        request.PreviousWaiting = request.NextWaiting = null;
        Count--;
        return true;
    }

    /// <summary>A struct: walking the queue allocates nothing.</summary>
    public Enumerator GetEnumerator() => new(First);

    IEnumerator<Request> IEnumerable<Request>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private bool Contains(Request request) => request == First || request.PreviousWaiting is not null;

    private void Insert(Request? previous, Request request, Request? next)
    {
        Debug.Assert(!Contains(request), "the request waits already");
        Link(previous, request);
        Link(request, next);
        Count++;
    }

    // Null stands for the end on that side.
    private void Link(Request? left, Request? right)
    {
        if (left is null)
        {
            First = right;
        }
        else
        {
            left.NextWaiting = right;
        }

        if (right is null)
        {
            _last = left;
        }
        else
        {
            right.PreviousWaiting = left;
        }
    }

    internal struct Enumerator(Request? first) : IEnumerator<Request>
    {
        private Request? _current;
        private Request? _next = first;

        public readonly Request Current => _current!;

        readonly object IEnumerator.Current => Current;

        public bool MoveNext()
        {
            _current = _next;
            _next = _current?.NextWaiting;
            return _current is not null;
        }

        public readonly void Reset() => throw new NotSupportedException();

        public readonly void Dispose()
        {
        }
    }
}
