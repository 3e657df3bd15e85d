namespace VllmNative.Cache;

/// <summary>KV blocks in host memory, as numbers: a stack of free ones. Its ids begin where the pool's share begins.</summary>
internal sealed class HostBlockPool
{
    private readonly int[] _free;
    private int _count;

    /// <param name="first">Id of the first block.</param>
    /// <param name="count">Blocks.</param>
    internal HostBlockPool(int first, int count)
    {
        First = first;
        _free = new int[count];
        for (int i = 0; i < count; i++)
        {
            // The lowest ids are taken first, so that what is taken together lies together.
            _free[i] = first + count - 1 - i;
        }

        Volatile.Write(ref _count, count);
    }

    internal int First { get; }

    internal int Total => _free.Length;

    /// <summary>Other threads may read it.</summary>
    internal int Free => Volatile.Read(ref _count);

    internal int Used => Total - Free;

    /// <summary>For invariant checks.</summary>
    internal ReadOnlySpan<int> FreeBlocks => _free.AsSpan(0, _count);

    internal int Take()
    {
        int block = _free[_count - 1];
        Volatile.Write(ref _count, _count - 1);
        return block;
    }

    internal void Release(int block)
    {
        _free[_count] = block;
        Volatile.Write(ref _count, _count + 1);
    }
}
