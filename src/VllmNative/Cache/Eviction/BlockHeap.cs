namespace VllmNative.Cache.Eviction;

/// <summary>Blocks by score, lowest first, equals in the order in which they came; any block can be taken out. Allocates nothing.</summary>
internal sealed class BlockHeap
{
    private readonly int[] _heap;
    private readonly int[] _position;
    private readonly double[] _scores;
    private readonly long[] _arrivals;
    private long _arrival;

    internal BlockHeap(int blocks)
    {
        _heap = new int[blocks];
        _position = new int[blocks];
        _scores = new double[blocks];
        _arrivals = new long[blocks];
    }

    internal int Count { get; private set; }

    internal int First => Count == 0 ? BlockList.None : _heap[0];

    internal double ScoreOf(int block) => _scores[block];

    internal ReadOnlySpan<int> Blocks => _heap.AsSpan(0, Count);

    internal void Add(int block, double score)
    {
        (_scores[block], _arrivals[block]) = (score, ++_arrival);
        Append(block);
    }

    internal void Remove(int block)
    {
        int at = _position[block];
        int last = _heap[--Count];
        if (last != block)
        {
            Place(last, at);
            Up(at);
            Down(_position[last]);
        }
    }

    /// <summary>The first blocks, in order; they stay.</summary>
    internal int Peek(Span<int> blocks)
    {
        int count = 0;
        while (count < blocks.Length && Count > 0)
        {
            blocks[count] = First;
            Remove(blocks[count++]);
        }

        foreach (int block in blocks[..count])
        {
            Append(block);
        }

        return count;
    }

    private void Append(int block)
    {
        Place(block, Count++);
        Up(Count - 1);
    }

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
        while (true)
        {
            int child = (2 * at) + 1;
            if (child >= Count)
            {
                return;
            }

            child += child + 1 < Count && Before(_heap[child + 1], _heap[child]) ? 1 : 0;
            if (!Before(_heap[child], _heap[at]))
            {
                return;
            }

            Swap(at, child);
            at = child;
        }
    }

    private bool Before(int a, int b) => _scores[a] != _scores[b] ? _scores[a] < _scores[b] : _arrivals[a] < _arrivals[b];

    private void Swap(int a, int b)
    {
        int block = _heap[a];
        Place(_heap[b], a);
        Place(block, b);
    }

    private void Place(int block, int at)
    {
        _heap[at] = block;
        _position[block] = at;
    }
}
