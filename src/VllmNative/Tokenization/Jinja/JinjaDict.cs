namespace VllmNative.Tokenization.Jinja;

/// <summary>An ordered dictionary.</summary>
internal sealed class JinjaDict : JinjaValue
{
    private readonly List<KeyValuePair<JinjaValue, JinjaValue>> _entries = [];
    private readonly Dictionary<string, int> _byText = new(StringComparer.Ordinal);

    public IReadOnlyList<KeyValuePair<JinjaValue, JinjaValue>> Entries => _entries;

    public override string TypeName => "dict";

    public override bool IsTrue => _entries.Count > 0;

    public void Set(string key, JinjaValue value) => Set(new JinjaString(key), value);

    /// <summary>Sets an entry while the dictionary is being built; the last of equal keys counts.</summary>
    public void Set(JinjaValue key, JinjaValue value)
    {
        int index = IndexOf(key);
        if (index >= 0)
        {
            _entries[index] = new(_entries[index].Key, value);
            return;
        }

        if (key is JinjaString text)
        {
            _byText[text.Text] = _entries.Count;
        }

        _entries.Add(new(key, value));
    }

    public JinjaValue? Find(string key) => _byText.TryGetValue(key, out int index) ? _entries[index].Value : null;

    public JinjaValue? Find(JinjaValue key)
    {
        int index = IndexOf(key);
        return index >= 0 ? _entries[index].Value : null;
    }

    private int IndexOf(JinjaValue key)
    {
        if (key is JinjaString text)
        {
            return _byText.TryGetValue(text.Text, out int index) ? index : -1;
        }

        // Keys of other types are written out in the template, so there are few.
        return _byText.Count == _entries.Count ? -1 : _entries.FindIndex(entry => Comparison.ScalarEquals(entry.Key, key));
    }
}
