<<<<<<< HEAD
using System.Diagnostics;
=======
using System.Collections;
>>>>>>> main
using VllmNative.Requests;

namespace VllmNative.Scheduling;

<<<<<<< HEAD
/// <summary>
/// Requests that wait, first come first served; preempted ones return to the front. The links lie in the requests, so that
/// a burst of arrivals allocates nothing on the engine thread.
/// </summary>
internal sealed class RequestQueue
=======
/// <summary>Requests that wait, first come first served; preempted ones return to the front.</summary>
internal sealed class RequestQueue : IEnumerable<Request>
>>>>>>> main
{
    private Request? _last;

    internal int Count { get; private set; }

    internal Request? First { get; private set; }

<<<<<<< HEAD
    internal IEnumerable<Request> All
    {
        get
        {
            for (Request? request = First; request is not null; request = request.NextWaiting)
            {
                yield return request;
            }
        }
    }

    internal void AddLast(Request request) => Insert(_last, request, null);
=======
    internal void AddLast(Request request) => _requests.AddLast(request);
>>>>>>> main

    internal void AddFirst(Request request) => Insert(null, request, First);

    internal void RemoveFirst() => Remove(First ?? throw new InvalidOperationException("the queue is empty"));

<<<<<<< HEAD
    internal void Remove(Request request)
    {
        Debug.Assert(request == First || request.PreviousWaiting is not null, "the request does not wait");
        Link(request.PreviousWaiting, request.NextWaiting);
        request.PreviousWaiting = request.NextWaiting = null;
        Count--;
    }

    private void Insert(Request? previous, Request request, Request? next)
    {
        Debug.Assert(request != First && request.PreviousWaiting is null, "the request waits already");
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
=======
    internal bool Remove(Request request) => _requests.Remove(request);

    /// <summary>A struct: walking the queue allocates nothing.</summary>
    public LinkedList<Request>.Enumerator GetEnumerator() => _requests.GetEnumerator();

    IEnumerator<Request> IEnumerable<Request>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
>>>>>>> main
}
