namespace VllmNative.Tokenization.Models;

/// <summary>
/// Encodings of words seen before: a fixed number of slots, each holding the last word that hashed to it. Bounded by
/// construction, and lock-free because an entry is immutable. String hashes are randomized per process, so
/// a prompt cannot aim at one slot.
/// </summary>
internal sealed class WordCache
{
    /// <summary>Longer words are not kept; text has few of them and they would decide the memory used.</summary>
    public const int MaxWordLength = 48;

    private const int Slots = 1 << 15;
    private readonly Entry?[] _entries = new Entry?[Slots];

    public int[]? Find(ReadOnlySpan<char> word, int hash)
    {
        Entry? entry = Volatile.Read(ref _entries[hash & (Slots - 1)]);
        return entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word) ? entry.Ids : null;
    }

    public void Add(ReadOnlySpan<char> word, int hash, ReadOnlySpan<int> ids) =>
        Volatile.Write(ref _entries[hash & (Slots - 1)], new Entry(word.ToString(), hash, ids.ToArray()));

    private sealed record Entry(string Word, int Hash, int[] Ids);
}
