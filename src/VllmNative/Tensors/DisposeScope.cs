namespace VllmNative.Tensors;

/// <summary>Disposes what was made so far, last first, unless it was released to its owner.</summary>
internal sealed class DisposeScope : IDisposable
{
    private readonly Stack<IDisposable> _items = new();

    internal T Add<T>(T item)
        where T : IDisposable
    {
        _items.Push(item);
        return item;
    }

    internal void Release() => _items.Clear();

    public void Dispose()
    {
        while (_items.TryPop(out IDisposable? item))
        {
            item.Dispose();
        }
    }
}
