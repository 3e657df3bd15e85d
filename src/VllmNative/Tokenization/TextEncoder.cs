using System.Collections.Concurrent;
using VllmNative.Tokenization.Models;
using VllmNative.Tokenization.Normalizers;
using VllmNative.Tokenization.PreTokenizers;

namespace VllmNative.Tokenization;

/// <summary>Text to ids: added tokens, normalizer, pre-tokenizers, model. Thread-safe; scratch memory is pooled.</summary>
internal sealed class TextEncoder
{
    private const int MaxPooled = 64;
    private readonly Normalizer? _normalizer;
    private readonly PreTokenizer[] _preTokenizers;
    private readonly BpeModel _model;
    private readonly SpecialTokenTemplate _template;
    private readonly AddedTokenMatcher _rawTokens;
    private readonly AddedTokenMatcher _rawAndSpecialTokens;
    private readonly AddedTokenMatcher _normalizedTokens;
    private readonly ConcurrentBag<Scratch> _pool = [];

    public TextEncoder(TokenizerParts parts, SpecialTokenTemplate template)
    {
        _normalizer = parts.Normalizer;
        _preTokenizers = parts.PreTokenizers;
        _model = parts.Model;
        _template = template;
        _rawTokens = new(parts.AddedTokens.Where(token => !token.Normalized).Select(token => (token, token.Content)));
        _rawAndSpecialTokens = new(
            parts.AddedTokens.Where(token => !token.Normalized || token.Special).Select(token => (token, token.Content)));
        _normalizedTokens = new(parts.AddedTokens.Where(token => token.Normalized)
            .Select(token => (token, _normalizer?.Apply(token.Content) ?? token.Content)).Where(pair => pair.Item2.Length > 0));
    }

    /// <summary>Encodes the text.</summary>
    /// <param name="text">Any text; half surrogate pairs count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Adds what the post-processor puts around a text.</param>
    /// <param name="parseSpecialTokens">Whether special tokens spelled in the text become control tokens.</param>
    /// <param name="untrusted">Sorted ranges of the text in which they never do.</param>
    public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens, ReadOnlySpan<TextRange> untrusted)
    {
        text = Utf16.Sanitize(text);
        Scratch scratch = _pool.TryTake(out Scratch? pooled) ? pooled : new Scratch();
        IdBuffer ids = scratch.Ids;
        ids.Clear();
        if (addSpecialTokens)
        {
            ids.AddRange(_template.Prefix);
        }

        EncodeRaw(text, parseSpecialTokens, untrusted, scratch);
        if (addSpecialTokens)
        {
            ids.AddRange(_template.Suffix);
        }

        int[] result = ids.Written.ToArray();
        if (_pool.Count < MaxPooled && text.Length < 1 << 20)
        {
            _pool.Add(scratch);
        }

        return result;
    }

    private void EncodeRaw(string text, bool parseSpecial, ReadOnlySpan<TextRange> untrusted, Scratch scratch)
    {
        // Normalizing moves positions, so under untrusted ranges special tokens are only looked for before it.
        bool partlyTrusted = parseSpecial && !untrusted.IsEmpty;
        AddedTokenMatcher matcher = partlyTrusted ? _rawAndSpecialTokens : _rawTokens;
        bool parseSpecialLater = parseSpecial && !partlyTrusted;
        if (matcher.IsEmpty)
        {
            EncodeFragment(text.AsMemory(), atStart: true, parseSpecialLater, scratch);
            return;
        }

        for (int at = 0; at < text.Length;)
        {
            AddedToken? token = matcher.Find(text, at, parseSpecial, untrusted, out int start, out int end);
            EncodeFragment(text.AsMemory(at, start - at), at == 0, parseSpecialLater, scratch);
            if (token is not null)
            {
                scratch.Ids.Add(token.Id);
            }

            at = end;
        }
    }

    private void EncodeFragment(ReadOnlyMemory<char> fragment, bool atStart, bool parseSpecial, Scratch scratch)
    {
        if (fragment.IsEmpty)
        {
            return;
        }

        if (_normalizer is not null)
        {
            fragment = _normalizer.Apply(fragment.ToString()).AsMemory();
        }

        if (_normalizedTokens.IsEmpty)
        {
            EncodeWords(fragment, atStart, scratch);
            return;
        }

        ReadOnlySpan<char> text = fragment.Span;
        for (int at = 0; at < text.Length;)
        {
            AddedToken? token = _normalizedTokens.Find(text, at, parseSpecial, default, out int start, out int end);
            EncodeWords(fragment[at..start], atStart && at == 0, scratch);
            if (token is not null)
            {
                scratch.Ids.Add(token.Id);
            }

            at = end;
        }
    }

    private void EncodeWords(ReadOnlyMemory<char> text, bool atStart, Scratch scratch)
    {
        PieceBuffer buffer = scratch.Pieces;
        buffer.Reset(text, atStart);
        foreach (PreTokenizer step in _preTokenizers)
        {
            step.Apply(buffer);
        }

        ReadOnlySpan<char> chars = buffer.Text.Span;
        foreach (TextRange piece in buffer.Pieces)
        {
            _model.Encode(chars.Slice(piece.Start, piece.Length), scratch.Ids, scratch.Merger);
        }
    }

    private sealed class Scratch
    {
        public IdBuffer Ids { get; } = new();

        public PieceBuffer Pieces { get; } = new();

        public BpeMerger Merger { get; } = new();
    }
}
