using System.Diagnostics;

namespace VllmNative.Steps;

/// <summary>A list that is filled and cleared every step and keeps its memory; it grows only while the engine warms up.</summary>
[DebuggerDisplay("Count = {Count}")]
internal sealed class PlanList<T>(int capacity)
{
    private T[] _items = new T[Math.Max(capacity, 4)];

    internal int Count { get; private set; }

    internal ReadOnlySpan<T> Span => _items.AsSpan(0, Count);

    internal ref readonly T this[int index] => ref _items.AsSpan(0, Count)[index];

    internal void Add(T item)
    {
        if (Count == _items.Length)
        {
            Array.Resize(ref _items, Count * 2);
        }

        _items[Count++] = item;
    }

    internal void AddRange(ReadOnlySpan<T> items)
    {
        if (Count + items.Length > _items.Length)
        {
            Array.Resize(ref _items, Math.Max(_items.Length * 2, Count + items.Length));
        }

        items.CopyTo(_items.AsSpan(Count));
        Count += items.Length;
    }

    internal void Clear() => Count = 0;
}
