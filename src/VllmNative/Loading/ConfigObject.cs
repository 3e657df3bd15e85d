using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// Typed, range-checked access to the keys of a JSON object. A key may have several spellings, tried in order; a key
/// that is absent or null counts as not stated. Errors name file, key and value.
/// </summary>
internal readonly struct ConfigObject
{
    private readonly string _file;
    private readonly string? _path;

    public ConfigObject(string file, string? path, JsonElement element)
    {
        _file = file;
        _path = path;
        Element = element;
    }

    /// <summary>The object itself.</summary>
    public JsonElement Element { get; }

    /// <summary>The file, for errors.</summary>
    public string File => _file;

    /// <summary>True if the key is present, be it null.</summary>
    public bool Has(string key) => Element.TryGetProperty(key, out _);

    /// <summary>Finds the first stated spelling.</summary>
    public bool TryGet(ReadOnlySpan<string> keys, out string key, out JsonElement value)
    {
        foreach (string candidate in keys)
        {
            if (Element.TryGetProperty(candidate, out value) && value.ValueKind != JsonValueKind.Null)
            {
                key = candidate;
                return true;
            }
        }

        key = keys[0];
        value = default;
        return false;
    }

    /// <summary>An integer within the bounds, or null.</summary>
    public int? Int(int min, int max, params ReadOnlySpan<string> keys) =>
        TryGet(keys, out string key, out JsonElement value) ? Int(key, value, min, max) : null;

    /// <summary>An integer that must be stated.</summary>
    public int RequiredInt(int min, int max, params ReadOnlySpan<string> keys) => Int(min, max, keys) ?? throw Missing(keys[0]);

    /// <summary>A finite number within the bounds, or null.</summary>
    public double? Number(double min, double max, params ReadOnlySpan<string> keys)
    {
        if (!TryGet(keys, out string key, out JsonElement value))
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !double.IsFinite(number) || number < min || number > max)
        {
            throw Error(key, string.Create(CultureInfo.InvariantCulture, $"{JsonText.Of(value)} is not a number from {min} to {max}"));
        }

        return number;
    }

    /// <summary>A truth value, or null.</summary>
    public bool? Bool(string key)
    {
        if (!TryGet([key], out _, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Error(key, $"{JsonText.Of(value)} is not true or false"),
        };
    }

    /// <summary>A string, or null.</summary>
    public string? String(params ReadOnlySpan<string> keys)
    {
        if (!TryGet(keys, out string key, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Error(key, $"{JsonText.Of(value)} is not a string");
    }

    /// <summary>A list of strings; empty if not stated.</summary>
    public ImmutableArray<string> Strings(string key)
    {
        if (!TryGet([key], out _, out JsonElement value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Error(key, $"{JsonText.Of(value)} is not a list of strings");
        }

        ImmutableArray<string>.Builder list = ImmutableArray.CreateBuilder<string>(value.GetArrayLength());
        foreach (JsonElement item in value.EnumerateArray())
        {
            list.Add(item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Error(key, $"{JsonText.Of(item)} is not a string"));
        }

        return list.MoveToImmutable();
    }

    /// <summary>One integer or a list of them, as a list; empty if not stated.</summary>
    public ImmutableArray<int> IntOrList(int min, int max, string key)
    {
        if (!TryGet([key], out _, out JsonElement value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            return [Int(key, value, min, max)];
        }

        ImmutableArray<int>.Builder list = ImmutableArray.CreateBuilder<int>(value.GetArrayLength());
        foreach (JsonElement item in value.EnumerateArray())
        {
            list.Add(Int(key, item, min, max));
        }

        return list.MoveToImmutable();
    }

    /// <summary>A nested object, or null.</summary>
    public ConfigObject? Object(string key)
    {
        if (!TryGet([key], out _, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.Object
            ? new ConfigObject(_file, Qualify(key), value)
            : throw Error(key, $"{JsonText.Of(value)} is not an object");
    }

    /// <summary>The error for a key that has to be there.</summary>
    public ModelFormatException Missing(string key) => Error(key, "is missing");

    /// <summary>An error about a key.</summary>
    public ModelFormatException Error(string key, string cause) => new(_file, Qualify(key), cause);

    private int Int(string key, JsonElement value, int min, int max)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int number) || number < min || number > max)
        {
            throw Error(key, string.Create(CultureInfo.InvariantCulture, $"{JsonText.Of(value)} is not an integer from {min} to {max}"));
        }

        return number;
    }

    private string Qualify(string key) => _path is null ? JsonText.Of(key) : $"{_path}.{JsonText.Of(key)}";
}
