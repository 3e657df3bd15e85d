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
    private readonly List<Request> _beams = [];
    private Request[] _heap = new Request[4096];

    /// <summary>Without <see cref="Beams"/>.</summary>
    internal int Count { get; private set; }

    internal Request? First => Count == 0 ? null : _heap[0];

    /// <summary>Who waits and holds blocks of the device all the same: forks, and requests that were just swapped in.</summary>
    internal List<Request> Holders => _holders;

    /// <summary>
    /// Beams of groups that have begun, in the order in which they came: they go on before anybody else begins. Among them are those that have
    /// nothing to compute before their group advances.
    /// </summary>
    internal List<Request> Beams => _beams;

    /// <summary>The next one that has something to compute.</summary>
    internal Request? Next
    {
        get
        {
            foreach (Request beam in _beams)
            {
                if (!beam.AwaitsBeams)
                {
                    return beam;
                }
            }

            return First;
        }
    }

    /// <summary>Whether a is served before b.</summary>
    internal static bool Before(Request a, Request b) => a.Rank != b.Rank ? a.Rank < b.Rank : a.Arrival < b.Arrival;

    internal void Add(Request request)
    {
        Debug.Assert(request.WaitingIndex < 0, "the request waits already");
        if (Count == _heap.Length)
        {
            Array.Resize(ref _heap, 2 * Count);
        }

        if (request.Beams is { HoldsRows: true })
        {
            _beams.Add(request);
        }
        else
        {
            Place(request, Count++);
            Up(request.WaitingIndex);
        }

        if (request.BlockCount > 0)
        {
            _holders.Add(request);
        }
    }

    /// <summary>A request has got blocks; if it waits, it is one of the <see cref="Holders"/>.</summary>
    internal void NoteHolder(Request request)
    {
        if (_beams.Contains(request) && !_holders.Contains(request))
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
            _holders.Remove(request);
            return _beams.Remove(request);
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

    /// <summary>In no order, with <see cref="Beams"/>; a struct: walking the queue allocates nothing.</summary>
    public Enumerator GetEnumerator() => new(_heap, Count, _beams);

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

    internal struct Enumerator(Request[] heap, int count, List<Request> beams) : IEnumerator<Request>
    {
        private int _at = -1;

        public readonly Request Current => _at < count ? heap[_at] : beams[_at - count];

        readonly object IEnumerator.Current => Current;

        public bool MoveNext() => ++_at < count + beams.Count;

        public readonly void Reset() => throw new NotSupportedException();

        public readonly void Dispose()
        {
        }
    }
}
