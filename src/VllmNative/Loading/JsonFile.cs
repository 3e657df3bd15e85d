using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>Reads the JSON files of a model directory under limits: size, depth, UTF-8, no key twice.</summary>
internal static class JsonFile
{
    /// <summary>Largest config.json or generation_config.json.</summary>
    public const long MaxConfigLength = 4L << 20;

    /// <summary>Deepest nesting.</summary>
    public const int MaxDepth = 64;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>The bytes of a file, at most <paramref name="maxLength"/> of them.</summary>
    public static byte[] ReadBytes(string path, long maxLength)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            long length = stream.Length;
            CheckLength(length, maxLength, path);
            byte[] bytes = new byte[length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ModelFormatException(path, null, "cannot be read: " + JsonText.OneLine(e), e);
        }
    }

    /// <summary>Parses an object and gives it to <paramref name="read"/>, whose text errors are reported as the file's.</summary>
    public static T ParseObject<T>(ReadOnlyMemory<byte> utf8, long maxLength, string file, Func<ConfigObject, T> read)
    {
        CheckLength(utf8.Length, maxLength, file);
        if (!Utf8.IsValid(utf8.Span))
        {
            throw new ModelFormatException(file, null, "is not valid UTF-8");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new ModelFormatException(file, null, $"expected a JSON object, found {document.RootElement.ValueKind}");
            }

            return read(new ConfigObject(file, null, document.RootElement.Clone()));
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(file, null, "is not valid JSON: " + JsonText.OneLine(e), e);
        }
        catch (InvalidOperationException e)
        {
            // An escaped half of a surrogate pair, in a key or a value.
            throw new ModelFormatException(file, null, "holds a string that is not valid Unicode: " + JsonText.OneLine(e), e);
        }
    }

    private static void CheckLength(long length, long maxLength, string file)
    {
        if (length > maxLength)
        {
            throw new ModelFormatException(file, null, string.Create(CultureInfo.InvariantCulture, $"has {length} bytes, above the limit of {maxLength}"));
        }
    }
}
