using System.Buffers;
using System.Text;
using System.Text.Unicode;
using VllmNative.Tokenization.Decoders;

namespace VllmNative.Tokenization;

/// <summary>
/// Decodes one output sequence token by token. Bytes of an unfinished character are held back until it is complete,
/// so that the increments and <see cref="Flush(StringBuilder)"/> together are what <see cref="Tokenizer.Decode"/> gives for all ids.
/// </summary>
public sealed class IncrementalDetokenizer
{
    private readonly Tokenizer _tokenizer;
    private readonly TokenDecoder _decoder;
    private readonly bool _skipSpecialTokens;
    private readonly bool _spacesBetweenSpecialTokens;
    private readonly StringBuilder _text = new();
    private byte[] _bytes = new byte[256];
    private char[] _chars = new char[256];
    private int _held;
    private int _stripped;
    private bool _stripping;
    private bool _afterSpecial;

    /// <summary>Starts a sequence.</summary>
    /// <param name="tokenizer">The tokenizer of the model.</param>
    /// <param name="skipSpecialTokens">Leaves control tokens out of the text.</param>
    /// <param name="spacesBetweenSpecialTokens">Puts a space between two control tokens in a row, where they are shown.</param>
    public IncrementalDetokenizer(Tokenizer tokenizer, bool skipSpecialTokens = true, bool spacesBetweenSpecialTokens = false)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        _tokenizer = tokenizer;
        _decoder = tokenizer.Decoder;
        _skipSpecialTokens = skipSpecialTokens;
        _spacesBetweenSpecialTokens = spacesBetweenSpecialTokens;
        _stripping = _decoder.LeadingStrip > 0;
    }

    /// <summary>Adds a token and returns the text that it completes, possibly none.</summary>
    public string Append(int id) => Append([id]);

    /// <summary>Adds tokens and returns the text that they complete, possibly none.</summary>
    public string Append(ReadOnlySpan<int> ids)
    {
        _text.Clear();
        Append(ids, _text);
        return _text.ToString();
    }

    /// <summary>Adds tokens and appends the text that they complete to <paramref name="output"/>.</summary>
    public void Append(ReadOnlySpan<int> ids, StringBuilder output)
    {
        ArgumentNullException.ThrowIfNull(output);
        foreach (int id in ids)
        {
            output.Append(Add(id));
        }
    }

    /// <summary>Adds tokens and writes the text that they complete to <paramref name="output"/>.</summary>
    public void Append(ReadOnlySpan<int> ids, IBufferWriter<char> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        foreach (int id in ids)
        {
            output.Write(Add(id));
        }
    }

    /// <summary>Ends the sequence: returns what an unfinished character leaves, U+FFFD or nothing.</summary>
    public string Flush() => Decode(final: true).ToString();

    /// <summary>Ends the sequence: appends what an unfinished character leaves.</summary>
    public void Flush(StringBuilder output)
    {
        ArgumentNullException.ThrowIfNull(output);
        output.Append(Decode(final: true));
    }

    private ReadOnlySpan<char> Add(int id)
    {
        bool special = _tokenizer.IsSpecial(id);
        if (special && _skipSpecialTokens)
        {
            return default;
        }

        if (_spacesBetweenSpecialTokens && special && _afterSpecial)
        {
            Hold(" "u8);
        }

        _afterSpecial = special;
        Hold(_decoder.Bytes(id));
        return Decode(final: false);
    }

    private void Hold(ReadOnlySpan<byte> bytes)
    {
        while (_stripping && bytes.Length > 0)
        {
            _stripping = bytes[0] == _decoder.LeadingStripByte && _stripped < _decoder.LeadingStrip;
            if (_stripping)
            {
                bytes = bytes[1..];
                _stripped++;
            }
        }

        if (_held + bytes.Length > _bytes.Length)
        {
            Array.Resize(ref _bytes, (_held + bytes.Length) * 2);
            _chars = new char[_bytes.Length];
        }

        bytes.CopyTo(_bytes.AsSpan(_held));
        _held += bytes.Length;
    }

    private ReadOnlySpan<char> Decode(bool final)
    {
        // The chars never outnumber the bytes, so the destination is always large enough.
        Utf8.ToUtf16(_bytes.AsSpan(0, _held), _chars, out int read, out int written, replaceInvalidSequences: true, isFinalBlock: final);
        _bytes.AsSpan(read, _held - read).CopyTo(_bytes);
        _held -= read;
        return _chars.AsSpan(0, written);
    }
}
