namespace VllmNative.Tokenization;

/// <summary>
/// Least-recently-used cache of whole-text encodings, bounded by entries and by characters plus ids. Thread-safe.
/// System prompts and conversations come again with every turn; prompts of strangers must not fill the memory.
/// </summary>
public sealed class EncodingCache
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Key, LinkedListNode<Entry>> _entries = [];
    private readonly LinkedList<Entry> _order = new();
    private readonly int _maxEntries;
    private readonly long _maxBytes;
    private long _bytes;
    private long _hits;
    private long _misses;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="maxEntries">Most texts kept; 0 keeps none.</param>
    /// <param name="maxBytes">Most memory for texts and ids; a text above a quarter of it is not kept.</param>
    public EncodingCache(int maxEntries, long maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxEntries);
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        _maxEntries = maxEntries;
        _maxBytes = maxBytes;
    }

    /// <summary>Lookups that found their text.</summary>
    public long Hits => Interlocked.Read(ref _hits);

    /// <summary>Lookups that did not.</summary>
    public long Misses => Interlocked.Read(ref _misses);

    /// <summary>Texts kept now.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Memory of the texts and ids kept now.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _bytes;
            }
        }
    }

    /// <summary>Finds an encoding; the caller must not change the array.</summary>
    internal int[]? Find(string text, bool addSpecial, bool parseSpecial)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(new Key(text, addSpecial, parseSpecial), out LinkedListNode<Entry>? node))
            {
                _order.Remove(node);
                _order.AddFirst(node);
                _hits++;
                return node.Value.Ids;
            }

            _misses++;
            return null;
        }
    }

    /// <summary>Keeps an encoding, dropping the least recently used ones as needed; the array becomes the cache's own.</summary>
    internal void Add(string text, bool addSpecial, bool parseSpecial, int[] ids)
    {
        Entry entry = new(new Key(text, addSpecial, parseSpecial), ids);
        if (_maxEntries == 0 || entry.Bytes > _maxBytes / 4)
        {
            return;
        }

        lock (_lock)
        {
            if (_entries.ContainsKey(entry.Key))
            {
                return;
            }

            _entries.Add(entry.Key, _order.AddFirst(entry));
            _bytes += entry.Bytes;
            while (_entries.Count > _maxEntries || _bytes > _maxBytes)
            {
                Entry oldest = _order.Last!.Value;
                _order.RemoveLast();
                _entries.Remove(oldest.Key);
                _bytes -= oldest.Bytes;
            }
        }
    }

    private readonly record struct Key(string Text, bool AddSpecial, bool ParseSpecial);

    private sealed record Entry(Key Key, int[] Ids)
    {
        public long Bytes => 128 + (2L * Key.Text.Length) + (4L * Ids.Length);
    }
}
