using System.Diagnostics;

namespace VllmNative.Cache;

/// <summary>
/// The KV blocks of one device as numbers: who is free, who is used, by how many. A block is an int; its state lies in arrays,
/// and free blocks form a doubly linked list inside them: taken at the head, given back at the tail, so that the least
/// recently used is taken first. Block 0 is the null block: never handed out, the target of padded rows.
/// </summary>
internal sealed class BlockPool
{
    internal const int NullBlock = 0;

    private const int None = -1;

    private readonly int[] _references;
    private readonly int[] _next;
    private readonly int[] _previous;
    private int _head = None;
    private int _tail = None;
    private int _free;

    /// <param name="total">Blocks, the null block included; at least 2.</param>
    internal BlockPool(int total)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 2);
        _references = new int[total];
        _next = new int[total];
        _previous = new int[total];
        _references[NullBlock] = 1;
        _next[NullBlock] = _previous[NullBlock] = None;
        for (int block = 1; block < total; block++)
        {
            PushTail(block);
        }
    }

    internal int Total => _references.Length;

    /// <summary>Blocks that can be taken; other threads may read it for statistics.</summary>
    internal int Free => Volatile.Read(ref _free);

    /// <summary>Blocks that requests own; the null block is not counted.</summary>
    internal int Used => Total - 1 - Free;

    internal int ReferencesOf(int block) => _references[block];

    /// <summary>Takes the least recently used free block for one owner; false when there is none.</summary>
    internal bool TryTake(out int block)
    {
        block = _head;
        if (block == None)
        {
            return false;
        }

        Unlink(block);
        _references[block] = 1;
        return true;
    }

    /// <summary>Adds an owner to a used block.</summary>
    internal void AddReference(int block)
    {
        Debug.Assert(block != NullBlock && _references[block] > 0, "a block without owner got a second one");
        _references[block]++;
    }

    /// <summary>Takes one owner off; the last one frees the block.</summary>
    internal void Release(int block)
    {
        Debug.Assert(block != NullBlock && _references[block] > 0, "a free block was released");
        if (--_references[block] == 0)
        {
            PushTail(block);
        }
    }

    /// <summary>Walks the free list, from the block that is taken next; for invariant checks.</summary>
    internal IEnumerable<int> FreeBlocks()
    {
        for (int block = _head; block != None; block = _next[block])
        {
            yield return block;
        }
    }

    private void PushTail(int block)
    {
        _previous[block] = _tail;
        _next[block] = None;
        if (_tail == None)
        {
            _head = block;
        }
        else
        {
            _next[_tail] = block;
        }

        _tail = block;
        Volatile.Write(ref _free, _free + 1);
    }

    private void Unlink(int block)
    {
        int next = _next[block];
        int previous = _previous[block];
        if (previous == None)
        {
            _head = next;
        }
        else
        {
            _next[previous] = next;
        }

        if (next == None)
        {
            _tail = previous;
        }
        else
        {
            _previous[next] = previous;
        }

        _next[block] = _previous[block] = None;
        Volatile.Write(ref _free, _free - 1);
    }
}
