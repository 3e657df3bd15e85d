using System.Globalization;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// Reads the JSON of a header in one pass. Each entry is checked as soon as it is complete, so that a hostile header
/// (millions of entries on the same bytes) is left at the first excess instead of being collected.
/// </summary>
internal sealed class SafetensorsHeaderReader
{
    private const string MetadataKey = "__metadata__";
    private const int MaxRank = 64;

    private readonly string _file;
    private readonly long _dataLength;
    private readonly List<long> _shape = [];
    private long _declaredBytes;
    private bool _hasMetadata;

    public SafetensorsHeaderReader(string file, long dataLength)
    {
        _file = file;
        _dataLength = dataLength;
    }

    /// <summary>Tensors by name, in the header's order.</summary>
    public Dictionary<string, SafetensorsEntry> Tensors { get; } = new(StringComparer.Ordinal);

    /// <summary>The strings of <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads the whole header, padding included.</summary>
    public void Read(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 8 });
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == MetadataKey)
            {
                ReadMetadata(ref reader);
            }
            else
            {
                ReadTensor(ref reader, name);
            }
        }

        // Trailing spaces are padding; anything else after the object makes the reader throw.
        reader.Read();
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (_hasMetadata)
        {
            throw Error(MetadataKey, "appears twice");
        }

        _hasMetadata = true;
        Expect(ref reader, JsonTokenType.StartObject, MetadataKey, "an object of strings");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            Expect(ref reader, JsonTokenType.String, MetadataKey, $"a string as the value of '{JsonText.Of(key)}'");
            if (!Metadata.TryAdd(key, reader.GetString()!))
            {
                throw Error(MetadataKey, $"key '{JsonText.Of(key)}' appears twice");
            }
        }
    }

    private void ReadTensor(ref Utf8JsonReader reader, string name)
    {
        if (Tensors.Count >= SafetensorsHeader.MaxTensors)
        {
            throw Error(null, Text($"header lists more than {SafetensorsHeader.MaxTensors} tensors"));
        }

        Expect(ref reader, JsonTokenType.StartObject, name, "an object with dtype, shape and data_offsets");
        SafetensorsDtype? dtype = null;
        long[]? shape = null;
        (long Begin, long End)? range = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            bool repeated = key switch { "dtype" => dtype is not null, "shape" => shape is not null, "data_offsets" => range is not null, _ => false };
            if (repeated)
            {
                throw Error(name, $"{key} appears twice");
            }

            switch (key)
            {
                case "dtype": dtype = ReadDtype(ref reader, name); break;
                case "shape": shape = ReadIntegers(ref reader, name, key); break;
                case "data_offsets": range = ReadRange(ref reader, name); break;
                default: throw Error(name, $"unknown key '{JsonText.Of(key)}'");
            }
        }

        SafetensorsEntry entry = new(
            name,
            dtype ?? throw Error(name, "dtype is missing"),
            shape ?? throw Error(name, "shape is missing"),
            range?.Begin ?? throw Error(name, "data_offsets is missing"),
            range.Value.End);
        CheckSize(entry);
        if (!Tensors.TryAdd(name, entry))
        {
            throw Error(name, "tensor is listed twice");
        }
    }

    private SafetensorsDtype ReadDtype(ref Utf8JsonReader reader, string name)
    {
        Expect(ref reader, JsonTokenType.String, name, "a string as dtype");
        string text = reader.GetString()!;
        return SafetensorsDtypes.TryParse(text, out SafetensorsDtype dtype) ? dtype : throw Error(name, $"unknown dtype '{JsonText.Of(text)}'");
    }

    private (long Begin, long End) ReadRange(ref Utf8JsonReader reader, string name)
    {
        long[] offsets = ReadIntegers(ref reader, name, "data_offsets");
        if (offsets.Length != 2)
        {
            throw Error(name, Text($"data_offsets has {offsets.Length} numbers instead of 2"));
        }

        if (offsets[0] > offsets[1])
        {
            throw Error(name, Text($"data_offsets begin {offsets[0]} is above end {offsets[1]}"));
        }

        if (offsets[1] > _dataLength)
        {
            throw Error(name, Text($"data_offsets end {offsets[1]} is past the {_dataLength} data bytes of the file"));
        }

        return (offsets[0], offsets[1]);
    }

    private long[] ReadIntegers(ref Utf8JsonReader reader, string name, string key)
    {
        Expect(ref reader, JsonTokenType.StartArray, name, $"an array as {key}");
        _shape.Clear();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
            {
                throw Error(name, $"{key} holds something that is not an integer of 0 to 2^63-1");
            }

            if (_shape.Count == MaxRank)
            {
                throw Error(name, Text($"{key} has more than {MaxRank} numbers"));
            }

            _shape.Add(value);
        }

        return [.. _shape];
    }

    private void CheckSize(in SafetensorsEntry entry)
    {
        long bits;
        try
        {
            bits = entry.Dtype.Bits();
            foreach (long dim in entry.Shape)
            {
                bits = checked(bits * dim);
            }
        }
        catch (OverflowException e)
        {
            throw new ModelFormatException(_file, JsonText.Of(entry.Name), $"shape [{string.Join(", ", entry.Shape)}] of {entry.Dtype} overflows 64 bits", e);
        }

        if (bits % 8 != 0)
        {
            throw Error(entry.Name, Text($"shape [{string.Join(", ", entry.Shape)}] of {entry.Dtype} takes {bits} bits, which is not a whole number of bytes"));
        }

        if (bits / 8 != entry.ByteLength)
        {
            throw Error(entry.Name, Text($"shape [{string.Join(", ", entry.Shape)}] of {entry.Dtype} takes {bits / 8} bytes, data_offsets span {entry.ByteLength}"));
        }

        // Both terms are at most the file's length, so the sum cannot overflow.
        _declaredBytes += entry.ByteLength;
        if (_declaredBytes > _dataLength)
        {
            throw Error(entry.Name, Text($"tensors overlap: up to this one they add up to {_declaredBytes} bytes, the file holds {_dataLength} data bytes"));
        }
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string item, string expected)
    {
        if (reader.TokenType != type)
        {
            throw Error(item, $"expected {expected}, found {reader.TokenType}");
        }
    }

    private ModelFormatException Error(string? item, string cause) => new(_file, item is null ? null : JsonText.Of(item), cause);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
