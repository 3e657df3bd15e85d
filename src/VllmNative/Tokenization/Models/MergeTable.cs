namespace VllmNative.Tokenization.Models;

/// <summary>
/// (left id, right id) to (rank, merged id). Open addressing over flat arrays: the lookup is the inner loop of encoding.
/// </summary>
internal sealed class MergeTable
{
    private const ulong Empty = ulong.MaxValue;
    private readonly ulong[] _keys;
    private readonly Merge[] _values;
    private readonly int _shift;

    public MergeTable(int count)
    {
        int bits = Math.Max(4, 64 - System.Numerics.BitOperations.LeadingZeroCount((ulong)count * 2));
        _keys = new ulong[1 << bits];
        _values = new Merge[1 << bits];
        _shift = 64 - bits;
        Array.Fill(_keys, Empty);
    }

    /// <summary>Adds a merge; the last of equal pairs counts.</summary>
    public void Add(int left, int right, Merge merge)
    {
        ulong key = Key(left, right);
        int slot = Slot(key);
        while (_keys[slot] != Empty && _keys[slot] != key)
        {
            slot = (slot + 1) & (_keys.Length - 1);
        }

        _keys[slot] = key;
        _values[slot] = merge;
    }

    /// <summary>The merge of a pair; rank <see cref="int.MaxValue"/> when there is none.</summary>
    public Merge Find(int left, int right)
    {
        ulong key = Key(left, right);
        ulong[] keys = _keys;
        for (int slot = Slot(key); ; slot = (slot + 1) & (keys.Length - 1))
        {
            ulong found = keys[slot];
            if (found == key)
            {
                return _values[slot];
            }

            if (found == Empty)
            {
                return new Merge(int.MaxValue, -1);
            }
        }
    }

    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    // Fibonacci hashing: the high bits of the product are well mixed.
    private int Slot(ulong key) => (int)((key * 0x9E3779B97F4A7C15UL) >> _shift);
}
