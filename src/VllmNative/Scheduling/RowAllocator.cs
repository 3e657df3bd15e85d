namespace VllmNative.Scheduling;

/// <summary>Hands out the rows 0..count-1 of a device array; a freed row is reused first.</summary>
internal sealed class RowAllocator
{
    private readonly int[] _free;
    private int _count;

    internal RowAllocator(int count)
    {
        _free = new int[count];
        _count = count;
        for (int i = 0; i < count; i++)
        {
            _free[i] = count - 1 - i;
        }
    }

    internal int Free => _count;

    internal int Take() => _free[--_count];

    internal void Release(int row) => _free[_count++] = row;
}
