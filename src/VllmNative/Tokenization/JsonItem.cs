using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization;

/// <summary>A JSON value that knows its file and path, so that every complaint names both.</summary>
internal readonly struct JsonItem(string file, string path, JsonElement element)
{
    public string File { get; } = file;

    public string Path { get; } = path;

    public JsonElement Element { get; } = element;

    /// <summary>The component's <c>type</c>.</summary>
    public string Type => this["type"].Text;

    public string Text => Element.ValueKind == JsonValueKind.String
        ? Element.GetString()!
        : throw Error($"expected a string, found {Element.ValueKind}");

    public int Int => Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out int value)
        ? value
        : throw Error($"expected a 32-bit integer, found {Shorten(Element.GetRawText())}");

    /// <summary>A required member.</summary>
    public JsonItem this[string name] => Optional(name) ?? throw Child(name, default).Error("is missing");

    /// <summary>A member, or null when absent or JSON null.</summary>
    public JsonItem? Optional(string name)
    {
        if (Element.ValueKind != JsonValueKind.Object)
        {
            throw Error($"expected an object, found {Element.ValueKind}");
        }

        return Element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null
            ? Child(name, value)
            : null;
    }

    public bool Flag(string name, bool fallback) => Optional(name) is not { } item
        ? fallback
        : item.Element.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw item.Error($"expected true or false, found {item.Element.ValueKind}"),
        };

    /// <summary>Elements of an array.</summary>
    public IEnumerable<JsonItem> Items()
    {
        if (Element.ValueKind != JsonValueKind.Array)
        {
            throw Error($"expected an array, found {Element.ValueKind}");
        }

        return Enumerate(this);

        static IEnumerable<JsonItem> Enumerate(JsonItem array)
        {
            int index = 0;
            foreach (JsonElement value in array.Element.EnumerateArray())
            {
                yield return new JsonItem(array.File, $"{array.Path}[{index++}]", value);
            }
        }
    }

    public ModelFormatException Error(string cause) => new(File, Path, cause);

    /// <summary>Long values from the file are cut, so that a message stays one line.</summary>
    public static string Shorten(string value) => value.Length <= 80 ? value : value[..77] + "...";

    private JsonItem Child(string name, JsonElement value) => new(File, Path.Length == 0 ? name : $"{Path}.{name}", value);
}
