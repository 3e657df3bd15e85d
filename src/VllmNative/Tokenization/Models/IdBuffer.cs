namespace VllmNative.Tokenization.Models;

/// <summary>A growing buffer of token ids that hands out spans.</summary>
internal sealed class IdBuffer
{
    private int[] _items = new int[256];

    public int Count { get; private set; }

    public ReadOnlySpan<int> Written => _items.AsSpan(0, Count);

    public void Add(int id)
    {
        if (Count == _items.Length)
        {
            Array.Resize(ref _items, Count * 2);
        }

        _items[Count++] = id;
    }

    public void AddRange(ReadOnlySpan<int> ids)
    {
        if (Count + ids.Length > _items.Length)
        {
            Array.Resize(ref _items, Math.Max(_items.Length * 2, Count + ids.Length));
        }

        ids.CopyTo(_items.AsSpan(Count));
        Count += ids.Length;
    }

    public void Clear() => Count = 0;
}
