using System.Text.Json;

namespace VllmNative.Loading;

/// <summary>Pieces of JSON in error messages: one line each, and never long.</summary>
internal static class JsonText
{
    private const int MaxLength = 80;

    /// <summary>The parser's message without line breaks.</summary>
    public static string OneLine(Exception error) => Shorten(error.Message, 200);

    /// <summary>The value as written in the file, shortened.</summary>
    public static string Of(JsonElement value) => Shorten(value.GetRawText(), MaxLength);

    /// <summary>A string from the file, shortened and with control characters replaced.</summary>
    public static string Of(string value) => Shorten(value, MaxLength);

    private static string Shorten(string text, int max)
    {
        string cut = text.Length <= max ? text : string.Concat(text.AsSpan(0, max), "...");

        // A file must not be able to forge log lines or drive a terminal.
        return string.Create(cut.Length, cut, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(source[i]) ? ' ' : source[i];
            }
        });
    }
}
