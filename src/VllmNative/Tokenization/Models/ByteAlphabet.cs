namespace VllmNative.Tokenization.Models;

/// <summary>
/// The byte-level alphabet: every byte is written as one printable character, so that a vocabulary is text.
/// Printable Latin-1 bytes are themselves, the other 68 are U+0100 onwards in order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Chars = BuildChars();
    private static readonly short[] Bytes = BuildBytes();

    public static char ToChar(byte value) => Chars[value];

    /// <summary>The byte of a character; -1 when the character is not in the alphabet.</summary>
    public static int ToByte(char c) => c < Bytes.Length ? Bytes[c] : -1;

    private static char[] BuildChars()
    {
        char[] chars = new char[256];
        int extra = 0;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            chars[b] = (char)(printable ? b : 256 + extra++);
        }

        return chars;
    }

    private static short[] BuildBytes()
    {
        short[] bytes = new short[512];
        Array.Fill(bytes, (short)-1);
        for (int b = 0; b < 256; b++)
        {
            bytes[Chars[b]] = (short)b;
        }

        return bytes;
    }
}
