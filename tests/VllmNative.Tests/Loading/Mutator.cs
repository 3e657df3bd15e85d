using System.Text;

namespace VllmNative.Tests.Loading;

/// <summary>Damages JSON-like bytes: some mutations keep the syntax and reach deep checks, others break it.</summary>
internal static class Mutator
{
    private static readonly byte[][] Numbers = [.. Bytes(
        "0", "1", "-1", "2", "3", "7", "8", "64", "255", "4096", "65536", "2147483647", "2147483648", "4294967296", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "4611686018427387904", "1e999", "-1e999", "1e-999", "0.5", "1.0", "1E2", "-0", "00", "1e", "NaN")];

    private static readonly byte[][] Tokens = [.. Bytes(
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "false", "\"\"", "{}", "[]", "[[[[[[[[", "{\"a\":", "\\u0000", "\\ud800", "\\udc00", "\n", " ", "//", "/*", "\0",
        "\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"__metadata__\"", "\"F4\"", "\"I64\"", "\"BOOL\"", "\"rope_type\"", "\"yarn\"", "\"llama3\"", "\"linear\"", "\"type\"",
        "\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":3},", "\"head_dim\":", "\"sliding_window\":4,", "\"use_sliding_window\":true,", "\"../x.safetensors\"", "\"weight_map\"",
        "\"\\ud800\":1,", "\"\\ud800\"")];

    /// <summary>Applies one to four mutations.</summary>
    public static byte[] Mutate(Random random, ReadOnlySpan<byte> source)
    {
        List<byte> bytes = [.. source];
        for (int n = random.Next(1, 5); n > 0; n--)
        {
            Once(random, bytes);
        }

        return [.. bytes];
    }

    private static void Once(Random random, List<byte> bytes)
    {
        if (bytes.Count == 0)
        {
            bytes.AddRange(Pick(random, Tokens));
            return;
        }

        int at = random.Next(bytes.Count);
        int length = Math.Min(random.Next(1, 24), bytes.Count - at);
        switch (random.Next(10))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2:
                bytes.RemoveRange(at, length);
                break;
            case 3:
                bytes.InsertRange(at, bytes.GetRange(at, length));
                break;
            case 4:
                bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, length));
                break;
            case 5:
                bytes.InsertRange(at, Pick(random, Tokens));
                break;
            case 6 when random.Next(4) == 0:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            default:
                ReplaceNumber(random, bytes, at);
                break;
        }
    }

    /// <summary>Replaces the next run of digits by another number.</summary>
    private static void ReplaceNumber(Random random, List<byte> bytes, int at)
    {
        int start = bytes.FindIndex(at, static b => char.IsAsciiDigit((char)b));
        if (start < 0)
        {
            return;
        }

        int end = start;
        while (end < bytes.Count && char.IsAsciiDigit((char)bytes[end]))
        {
            end++;
        }

        bytes.RemoveRange(start, end - start);
        bytes.InsertRange(start, Pick(random, Numbers));
    }

    private static byte[] Pick(Random random, byte[][] choices) => choices[random.Next(choices.Length)];

    private static IEnumerable<byte[]> Bytes(params string[] texts) => texts.Select(Encoding.UTF8.GetBytes);
}
