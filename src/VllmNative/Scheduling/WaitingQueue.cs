using System.Collections;
using System.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>
/// Requests that wait, the next one first: by rank, equals by arrival. A heap; each request knows its index in it, so that any
/// can leave. A burst of arrivals allocates only while the heap grows beyond what it ever held.
/// </summary>
internal sealed class WaitingQueue : IEnumerable<Request>
{
    private readonly List<Request> _holders = [];
    private Request[] _heap = new Request[4096];

    internal int Count { get; private set; }

    internal Request? First => Count == 0 ? null : _heap[0];

    /// <summary>Who waits and holds blocks of the device all the same: forks, and requests that were just swapped in.</summary>
    internal List<Request> Holders => _holders;

    /// <summary>Whether a is served before b.</summary>
    internal static bool Before(Request a, Request b) => a.Rank != b.Rank ? a.Rank < b.Rank : a.Arrival < b.Arrival;

    internal void Add(Request request)
    {
        Debug.Assert(request.WaitingIndex < 0, "the request waits already");
        if (Count == _heap.Length)
        {
            Array.Resize(ref _heap, 2 * Count);
        }

        Place(request, Count++);
        Up(request.WaitingIndex);
        if (request.BlockCount > 0)
        {
            _holders.Add(request);
        }
    }

    /// <summary>Takes a request out; false when it does not wait here.</summary>
    internal bool Remove(Request request)
    {
        int at = request.WaitingIndex;
        if (at < 0)
        {
            return false;
        }

        request.WaitingIndex = -1;
        _holders.Remove(request);
        Request last = _heap[--Count];
        _heap[Count] = null!;
        if (last != request)
        {
            Place(last, at);
            Up(at);
            Down(last.WaitingIndex);
        }

        return true;
    }

    /// <summary>In no order; a struct: walking the queue allocates nothing.</summary>
    public Enumerator GetEnumerator() => new(_heap, Count);

    IEnumerator<Request> IEnumerable<Request>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void Up(int at)
    {
        while (at > 0 && Before(_heap[at], _heap[(at - 1) / 2]))
        {
            Swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    private void Down(int at)
    {
        while ((2 * at) + 1 < Count)
        {
            int child = (2 * at) + 1;
            child += child + 1 < Count && Before(_heap[child + 1], _heap[child]) ? 1 : 0;
            if (!Before(_heap[child], _heap[at]))
            {
                return;
            }

            Swap(at, child);
            at = child;
        }
    }

    private void Swap(int a, int b)
    {
        Request request = _heap[a];
        Place(_heap[b], a);
        Place(request, b);
    }

    private void Place(Request request, int at)
    {
        _heap[at] = request;
        request.WaitingIndex = at;
    }

    internal struct Enumerator(Request[] heap, int count) : IEnumerator<Request>
    {
        private int _at = -1;

        public readonly Request Current => heap[_at];

        readonly object IEnumerator.Current => Current;

        public bool MoveNext() => ++_at < count;

        public readonly void Reset() => throw new NotSupportedException();

        public readonly void Dispose()
        {
        }
    }
}
