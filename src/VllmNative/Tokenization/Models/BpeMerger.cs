namespace VllmNative.Tokenization.Models;

/// <summary>
/// Applies merges to the symbols of one word, lowest rank first, leftmost first. Short words scan an array; long ones
/// keep candidates in a priority queue over a linked list, so that a word of n symbols takes O(n log n).
/// One instance serves one thread.
/// </summary>
internal sealed class BpeMerger
{
    private const int ShortWord = 40;
    private readonly PriorityQueue<Candidate, ulong> _queue = new();
    private int[] _ids = new int[64];
    private int[] _previous = new int[64];
    private int[] _next = new int[64];
    private Merge[] _merges = new Merge[64];
    private int _count;

    public void Clear() => _count = 0;

    public void Add(int id)
    {
        if (_count == _ids.Length)
        {
            int size = _count * 2;
            Array.Resize(ref _ids, size);
            Array.Resize(ref _previous, size);
            Array.Resize(ref _next, size);
            Array.Resize(ref _merges, size);
        }

        _ids[_count++] = id;
    }

    /// <summary>Merges the symbols added since <see cref="Clear"/> and appends what is left.</summary>
    public void Run(MergeTable table, IdBuffer output)
    {
        if (_count <= ShortWord)
        {
            RunShort(table);
            output.AddRange(_ids.AsSpan(0, _count));
        }
        else
        {
            RunLong(table);
            for (int i = 0; i >= 0; i = _next[i])
            {
                output.Add(_ids[i]);
            }
        }
    }

    private void RunShort(MergeTable table)
    {
        Span<int> ids = _ids.AsSpan(0, _count);
        Span<Merge> merges = _merges.AsSpan(0, _count);
        for (int i = 0; i + 1 < ids.Length; i++)
        {
            merges[i] = table.Find(ids[i], ids[i + 1]);
        }

        int count = _count;
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i < count - 1; i++)
            {
                if (merges[i].Rank < merges[best].Rank)
                {
                    best = i;
                }
            }

            if (merges[best].Rank == int.MaxValue)
            {
                break;
            }

            ids[best] = merges[best].Id;
            ids[(best + 2)..count].CopyTo(ids[(best + 1)..]);
            merges[(best + 1)..(count - 1)].CopyTo(merges[best..]);
            count--;
            if (best + 1 < count)
            {
                merges[best] = table.Find(ids[best], ids[best + 1]);
            }

            if (best > 0)
            {
                merges[best - 1] = table.Find(ids[best - 1], ids[best]);
            }
        }

        _count = count;
    }

    private void RunLong(MergeTable table)
    {
        _queue.Clear();
        for (int i = 0; i < _count; i++)
        {
            _previous[i] = i - 1;
            _next[i] = i + 1 < _count ? i + 1 : -1;
        }

        for (int i = 0; i + 1 < _count; i++)
        {
            Offer(table, i);
        }

        while (_queue.TryDequeue(out Candidate candidate, out _))
        {
            int at = candidate.Position;
            int right = _next[at];

            // Neighbours may have changed since the candidate was queued; a dead symbol has id -1.
            if (right < 0 || _ids[at] != candidate.Left || _ids[right] != candidate.Right)
            {
                continue;
            }

            _ids[at] = candidate.Merged;
            _ids[right] = -1;
            int after = _next[right];
            _next[at] = after;
            if (after >= 0)
            {
                _previous[after] = at;
                Offer(table, at);
            }

            if (_previous[at] >= 0)
            {
                Offer(table, _previous[at]);
            }
        }
    }

    private void Offer(MergeTable table, int left)
    {
        int right = _next[left];
        Merge merge = table.Find(_ids[left], _ids[right]);
        if (merge.Rank != int.MaxValue)
        {
            _queue.Enqueue(
                new Candidate(left, _ids[left], _ids[right], merge.Id), ((ulong)(uint)merge.Rank << 32) | (uint)left);
        }
    }

    private readonly record struct Candidate(int Position, int Left, int Right, int Merged);
}
