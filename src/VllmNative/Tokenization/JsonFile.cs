using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization;

/// <summary>Opens JSON files of a model under limits: a model directory is data from a stranger.</summary>
internal static class JsonFile
{
    /// <summary>Largest file read; the largest real tokenizer.json is about 35 MB.</summary>
    public const long MaxBytes = 64L * 1024 * 1024;

    /// <summary>Deepest nesting accepted.</summary>
    public const int MaxDepth = 64;

    /// <summary>Parses the file; the caller disposes the document.</summary>
    public static JsonDocument Read(string path)
    {
        byte[] bytes = ReadBytes(path);
        try
        {
            return JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = MaxDepth });
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, null, $"not valid JSON: {e.Message}", e);
        }
    }

    /// <summary>Reads a file whole, up to <see cref="MaxBytes"/>.</summary>
    public static byte[] ReadBytes(string path)
    {
        try
        {
            long size = new FileInfo(path).Length;
            if (size > MaxBytes)
            {
                throw new ModelFormatException(path, null, $"file has {size} bytes, the limit is {MaxBytes}");
            }

            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(path, null, $"cannot be read: {e.Message}", e);
        }
    }
}
