namespace VllmNative.Tokenization;

/// <summary>Token names and ids, of the model and of the added tokens together. Immutable.</summary>
internal sealed class Vocabulary
{
    /// <summary>Longest token name, in UTF-16 units.</summary>
    public const int MaxTokenLength = 1024;

    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _idsBySpan;
    private readonly string[] _tokens;
    private readonly bool[] _added;
    private readonly bool[] _special;

    public Vocabulary(Dictionary<string, int> ids, IReadOnlyList<AddedToken> added)
    {
        _ids = ids;
        _idsBySpan = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        _tokens = new string[ids.Count];
        _added = new bool[ids.Count];
        _special = new bool[ids.Count];
        foreach ((string token, int id) in ids)
        {
            _tokens[id] = token;
        }

        foreach (AddedToken token in added)
        {
            _added[token.Id] = true;
            _special[token.Id] |= token.Special;
        }
    }

    public int Count => _tokens.Length;

    public int? Find(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    public int? Find(ReadOnlySpan<char> token) => _idsBySpan.TryGetValue(token, out int id) ? id : null;

    public string? Name(int id) => (uint)id < (uint)_tokens.Length ? _tokens[id] : null;

    public bool IsAdded(int id) => (uint)id < (uint)_added.Length && _added[id];

    public bool IsSpecial(int id) => (uint)id < (uint)_special.Length && _special[id];
}
