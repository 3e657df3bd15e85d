using System.Text;
using VllmNative.Tokenization.Models;

namespace VllmNative.Tokenization.Decoders;

/// <summary>
/// The UTF-8 bytes of every token, computed once: the text of a sequence is the bytes of its tokens in a row.
/// What a decoder chain does to the start of the text is kept apart as <see cref="LeadingStrip"/>.
/// </summary>
internal sealed class TokenDecoder
{
    private readonly byte[] _bytes;
    private readonly int[] _offsets;

    public TokenDecoder(Vocabulary vocabulary, DecoderSteps steps)
    {
        LeadingStrip = steps.LeadingStrip;
        LeadingStripByte = steps.LeadingStripByte;
        using MemoryStream blob = new();
        _offsets = new int[vocabulary.Count + 1];
        for (int id = 0; id < vocabulary.Count; id++)
        {
            blob.Write(Decode(vocabulary.Name(id)!, steps));
            _offsets[id + 1] = (int)blob.Length;
        }

        _bytes = blob.ToArray();
    }

    /// <summary>How many leading <see cref="LeadingStripByte"/> the text loses.</summary>
    public int LeadingStrip { get; }

    public byte LeadingStripByte { get; }

    /// <summary>Bytes of a token; none for an id that has no token (a padded output layer can produce one).</summary>
    public ReadOnlySpan<byte> Bytes(int id) => (uint)id < (uint)(_offsets.Length - 1)
        ? _bytes.AsSpan(_offsets[id].._offsets[id + 1])
        : default;

    private static byte[] Decode(string token, DecoderSteps steps)
    {
        if (steps.ByteLevel)
        {
            return DecodeByteLevel(token);
        }

        if (steps.ByteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte value))
        {
            return [value];
        }

        foreach ((string pattern, string content) in steps.Replacements)
        {
            token = token.Replace(pattern, content, StringComparison.Ordinal);
        }

        return Encoding.UTF8.GetBytes(token);
    }

    private static byte[] DecodeByteLevel(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
        {
            int value = ByteAlphabet.ToByte(token[i]);
            if (value < 0)
            {
                // A token with a character outside the alphabet is plain text, such as an added token with a space.
                return Encoding.UTF8.GetBytes(token);
            }

            bytes[i] = (byte)value;
        }

        return bytes;
    }
}
