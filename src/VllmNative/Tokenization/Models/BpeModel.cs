using System.Buffers;
using System.Text;

namespace VllmNative.Tokenization.Models;

/// <summary>
/// Byte-pair encoding of one word. The first symbols are bytes (byte-level vocabularies) or characters with bytes or
/// the unknown token as a fallback (SentencePiece vocabularies); then the merge of lowest rank is applied until none is left.
/// </summary>
internal sealed class BpeModel
{
    private readonly Vocabulary _vocabulary;
    private readonly MergeTable _merges;
    private readonly BpeOptions _options;
    private readonly WordCache _cache = new();
    private readonly int[] _byteIds;

    public BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    {
        _vocabulary = vocabulary;
        _merges = merges;
        _options = options;
        _byteIds = new int[256];
        for (int b = 0; b < 256; b++)
        {
            string name = options.ByteLevel ? ByteAlphabet.ToChar((byte)b).ToString() : $"<0x{b:X2}>";
            _byteIds[b] = vocabulary.Find(name) ?? (options.ByteLevel ? options.UnknownId : -1);
        }
    }

    /// <summary>Appends the ids of a word, which is valid UTF-16.</summary>
    public void Encode(ReadOnlySpan<char> word, IdBuffer output, BpeMerger merger)
    {
        bool cached = word.Length <= WordCache.MaxWordLength;
        int hash = cached ? string.GetHashCode(word) : 0;
        if (cached && _cache.Find(word, hash) is { } known)
        {
            output.AddRange(known);
            return;
        }

        int before = output.Count;
        EncodeUncached(word, output, merger);
        if (cached)
        {
            _cache.Add(word, hash, output.Written[before..]);
        }
    }

    private void EncodeUncached(ReadOnlySpan<char> word, IdBuffer output, BpeMerger merger)
    {
        if (_options.IgnoreMerges && FindWhole(word) is { } whole)
        {
            output.Add(whole);
            return;
        }

        merger.Clear();
        if (_options.ByteLevel)
        {
            AddBytes(word, merger);
        }
        else
        {
            AddCharacters(word, merger);
        }

        merger.Run(_merges, output);
    }

    // A special token is never an ordinary word: only the added-token matcher may produce it.
    private int? FindWhole(ReadOnlySpan<char> word)
    {
        int? id;
        if (_options.ByteLevel)
        {
            int length = Encoding.UTF8.GetByteCount(word);
            if (length > Vocabulary.MaxTokenLength)
            {
                return null;
            }

            Span<byte> bytes = stackalloc byte[length];
            Span<char> chars = stackalloc char[length];
            Encoding.UTF8.GetBytes(word, bytes);
            for (int i = 0; i < length; i++)
            {
                chars[i] = ByteAlphabet.ToChar(bytes[i]);
            }

            id = _vocabulary.Find(chars);
        }
        else
        {
            id = _vocabulary.Find(word);
        }

        return id is { } found && !_vocabulary.IsSpecial(found) ? id : null;
    }

    private void AddBytes(ReadOnlySpan<char> word, BpeMerger merger)
    {
        int max = Encoding.UTF8.GetMaxByteCount(word.Length);
        byte[]? rented = max > 512 ? ArrayPool<byte>.Shared.Rent(max) : null;
        Span<byte> bytes = rented ?? stackalloc byte[512];
        int length = Encoding.UTF8.GetBytes(word, bytes);
        foreach (byte b in bytes[..length])
        {
            // A byte without a token and without an unknown token is dropped, as the reference library does.
            if (_byteIds[b] >= 0)
            {
                merger.Add(_byteIds[b]);
            }
        }

        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private void AddCharacters(ReadOnlySpan<char> word, BpeMerger merger)
    {
        Span<byte> bytes = stackalloc byte[4];
        bool afterUnknown = false;
        for (int i = 0, width; i < word.Length; i += width)
        {
            width = char.IsHighSurrogate(word[i]) && i + 1 < word.Length ? 2 : 1;
            ReadOnlySpan<char> character = word.Slice(i, width);
            bool unknown = false;
            if (_vocabulary.Find(character) is { } id)
            {
                merger.Add(id);
            }
            else if (!(_options.ByteFallback && TryAddFallback(bytes[..Encoding.UTF8.GetBytes(character, bytes)], merger)))
            {
                unknown = true;
                if (_options.UnknownId >= 0 && !(_options.FuseUnknown && afterUnknown))
                {
                    merger.Add(_options.UnknownId);
                }
            }

            afterUnknown = unknown;
        }
    }

    private bool TryAddFallback(ReadOnlySpan<byte> bytes, BpeMerger merger)
    {
        foreach (byte b in bytes)
        {
            if (_byteIds[b] < 0)
            {
                return false;
            }
        }

        foreach (byte b in bytes)
        {
            merger.Add(_byteIds[b]);
        }

        return true;
    }
}
