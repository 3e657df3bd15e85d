namespace VllmNative.Cache;

/// <summary>A doubly linked list of block ids whose links lie in arrays: adding, taking and removing cost the same anywhere, and nothing is allocated.</summary>
internal sealed class BlockList
{
    internal const int None = -1;

    private readonly int[] _next;
    private readonly int[] _previous;
    private int _last = None;

    /// <param name="ids">Ids are 0..ids-1; each stands in the list at most once.</param>
    internal BlockList(int ids)
    {
        _next = new int[ids];
        _previous = new int[ids];
    }

    internal int Count { get; private set; }

    /// <summary>The block that has been here longest; <see cref="None"/> when the list is empty.</summary>
    internal int First { get; private set; } = None;

    internal int After(int block) => _next[block];

    internal void AddLast(int block)
    {
        _previous[block] = _last;
        _next[block] = None;
        if (_last == None)
        {
            First = block;
        }
        else
        {
            _next[_last] = block;
        }

        _last = block;
        Count++;
    }

    internal void Remove(int block)
    {
        int next = _next[block];
        int previous = _previous[block];
        if (previous == None)
        {
            First = next;
        }
        else
        {
            _next[previous] = next;
        }

        if (next == None)
        {
            _last = previous;
        }
        else
        {
            _previous[next] = previous;
        }

        Count--;
    }

    /// <summary>Walks from the first to the last; for invariant checks.</summary>
    internal IEnumerable<int> Blocks()
    {
        for (int block = First; block != None; block = _next[block])
        {
            yield return block;
        }
    }
}
