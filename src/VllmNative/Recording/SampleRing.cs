namespace VllmNative.Recording;

/// <summary>A bounded queue between one writing thread and one reading thread. Neither ever waits, and nothing is allocated after construction.</summary>
/// <param name="capacity">Most items that wait to be read, above 0.</param>
internal sealed class SampleRing<T>(int capacity)
{
    private readonly T[] _items = new T[capacity];
    private long _read;
    private long _written;

    /// <summary>Whether so many more can be written; writing thread.</summary>
    internal bool HasRoom(int count) => _written - Volatile.Read(ref _read) + count <= _items.Length;

    /// <summary>Adds an item; writing thread, and only where there is room.</summary>
    internal void Write(in T item)
    {
        _items[_written % _items.Length] = item;
        Volatile.Write(ref _written, _written + 1);
    }

    /// <summary>Takes the oldest item; reading thread.</summary>
    internal bool TryRead(out T item)
    {
        if (_read == Volatile.Read(ref _written))
        {
            item = default!;
            return false;
        }

        ref T slot = ref _items[_read % _items.Length];
        item = slot;
        slot = default!;
        Volatile.Write(ref _read, _read + 1);
        return true;
    }
}
