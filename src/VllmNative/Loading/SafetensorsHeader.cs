using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// The validated header of a safetensors file: an 8-byte little-endian length, that many bytes of JSON, then the data.
/// Every tensor of a header that was accepted lies inside the file, and no two share a byte.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>Bytes of the length field.</summary>
    public const int PrefixLength = 8;

    /// <summary>Largest JSON that is read, the limit of the format itself.</summary>
    public const long MaxJsonLength = 100_000_000;

    /// <summary>Most tensors in one file; real models have fewer than 100,000.</summary>
    public const int MaxTensors = 1_000_000;

    private SafetensorsHeader(long dataStart, SafetensorsHeaderReader reader)
    {
        DataStart = dataStart;
        Tensors = reader.Tensors;
        Metadata = reader.Metadata;
    }

    /// <summary>Offset in the file of the first data byte.</summary>
    public long DataStart { get; }

    /// <summary>Tensors by name, in the header's order.</summary>
    public Dictionary<string, SafetensorsEntry> Tensors { get; }

    /// <summary>The free-form strings of <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; }

    /// <summary>Length of the JSON, checked against the limit and the file.</summary>
    /// <param name="prefix">The first bytes of the file, all of them or at least eight.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <param name="file">The file's name for errors.</param>
    public static int ReadJsonLength(ReadOnlySpan<byte> prefix, long fileLength, string file)
    {
        if (fileLength < PrefixLength || prefix.Length < PrefixLength)
        {
            throw TooShort(fileLength, file);
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > MaxJsonLength)
        {
            throw new ModelFormatException(file, null, Text($"header length {length} is above the limit of {MaxJsonLength}"));
        }

        if ((long)length > fileLength - PrefixLength)
        {
            throw new ModelFormatException(file, null, Text($"header length {length} reaches past the end of the file ({fileLength} bytes)"));
        }

        return (int)length;
    }

    /// <summary>Validates the JSON and the layout that it describes.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <param name="file">The file's name for errors.</param>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long fileLength, string file)
    {
        // The JSON reader takes strings on trust until they are read, so the text is checked as a whole first.
        if (!Utf8.IsValid(json))
        {
            throw new ModelFormatException(file, null, "header is not valid UTF-8");
        }

        if (json.IsEmpty || json[0] != (byte)'{')
        {
            throw new ModelFormatException(file, null, "header does not start with '{'");
        }

        long dataStart = PrefixLength + json.Length;
        SafetensorsHeaderReader reader = new(file, fileLength - dataStart);
        try
        {
            reader.Read(json);
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(file, null, "header is not valid JSON: " + JsonText.OneLine(e), e);
        }
        catch (InvalidOperationException e)
        {
            // An escaped half of a surrogate pair: valid JSON syntax, but no text.
            throw new ModelFormatException(file, null, "header holds a string that is not valid Unicode: " + JsonText.OneLine(e), e);
        }

        SafetensorsLayout.Check(reader.Tensors.Values, fileLength - dataStart, file);
        return new SafetensorsHeader(dataStart, reader);
    }

    /// <summary>The error for a file without room for the length field.</summary>
    public static ModelFormatException TooShort(long fileLength, string file) =>
        new(file, null, Text($"{fileLength} bytes are too few for a safetensors file: its header length alone takes {PrefixLength}"));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
