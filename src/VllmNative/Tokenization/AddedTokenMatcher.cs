using System.Buffers;
using VllmNative.Tokenization.PreTokenizers;

namespace VllmNative.Tokenization;

/// <summary>Finds added tokens in a text: leftmost first, longest first, by a character trie.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<AddedToken?> _nodes = [null];
    private readonly SearchValues<char> _firstChars;

    public AddedTokenMatcher(IEnumerable<(AddedToken Token, string Content)> tokens)
    {
        foreach ((AddedToken token, string content) in tokens)
        {
            Add(token, content);
        }

        _firstChars = SearchValues.Create(_edges.Keys.Where(key => key.Node == 0).Select(key => key.Next).ToArray());
    }

    public bool IsEmpty => _nodes.Count == 1;

    /// <summary>
    /// Finds the next token at or after <paramref name="from"/>; the match includes whitespace that the token
    /// swallows. Special tokens count only when <paramref name="parseSpecial"/> and outside the untrusted ranges.
    /// </summary>
    public AddedToken? Find(
        ReadOnlySpan<char> text, int from, bool parseSpecial, ReadOnlySpan<TextRange> untrusted, out int start, out int end)
    {
        for (int at = from; at < text.Length; at++)
        {
            int skip = text[at..].IndexOfAny(_firstChars);
            if (skip < 0)
            {
                break;
            }

            at += skip;
            if (LongestAt(text, at, parseSpecial, untrusted) is not { } token)
            {
                continue;
            }

            start = at;
            end = at + token.Content.Length;
            if (token.SingleWord && !(AtWordStart(text, start) && AtWordEnd(text, end)))
            {
                continue;
            }

            while (token.LeftStrip && start > from && char.IsWhiteSpace(text[start - 1]))
            {
                start--;
            }

            while (token.RightStrip && end < text.Length && char.IsWhiteSpace(text[end]))
            {
                end++;
            }

            return token;
        }

        start = end = text.Length;
        return null;
    }

    private AddedToken? LongestAt(ReadOnlySpan<char> text, int start, bool parseSpecial, ReadOnlySpan<TextRange> untrusted)
    {
        AddedToken? best = null;
        int node = 0;
        for (int i = start; i < text.Length && _edges.TryGetValue((node, text[i]), out node); i++)
        {
            if (_nodes[node] is { } token
                && (!token.Special || (parseSpecial && !Overlaps(untrusted, start, i + 1))))
            {
                best = token;
            }
        }

        return best;
    }

    private void Add(AddedToken token, string content)
    {
        int node = 0;
        foreach (char c in content)
        {
            if (!_edges.TryGetValue((node, c), out int next))
            {
                next = _nodes.Count;
                _nodes.Add(null);
                _edges.Add((node, c), next);
            }

            node = next;
        }

        // The normalized spelling is what is matched, so its length is the one that counts.
        _nodes[node] ??= content == token.Content ? token : token with { Content = content };
    }

    private static bool Overlaps(ReadOnlySpan<TextRange> ranges, int start, int end)
    {
        // The ranges are sorted and disjoint: find the first that ends after the start.
        int low = 0;
        int high = ranges.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (ranges[middle].End <= start)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low < ranges.Length && ranges[low].Start < end;
    }

    private static bool AtWordStart(ReadOnlySpan<char> text, int at) =>
        at == 0 || !UnicodeClass.IsWord(UnicodeClass.Before(text, at));

    private static bool AtWordEnd(ReadOnlySpan<char> text, int at) =>
        at == text.Length || !UnicodeClass.IsWord(UnicodeClass.At(text, at, out _));
}
