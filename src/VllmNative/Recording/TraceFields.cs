using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Recording;

/// <summary>The fields of one line of a trace, each checked as it is read: what is wrong is named by line, field and range.</summary>
internal readonly struct TraceFields(string file, long line, JsonElement element)
{
    /// <summary>Largest time in a trace, in seconds.</summary>
    internal const double MaxSeconds = 1e9;

    private const int MaxTextLength = 4096;

    internal bool Has(string name) => element.TryGetProperty(name, out _);

    internal int Integer(string name, int low, int high) => (int)Long(name, low, high);

    internal long Long(string name, long low, long high) =>
        Find(name, JsonValueKind.Number).TryGetInt64(out long value) && value >= low && value <= high
            ? value
            : throw Error(name, $"is {Shown(name)}, expected a whole number of {low}..{high}");

    internal double Number(string name, double low, double high) =>
        Find(name, JsonValueKind.Number).TryGetDouble(out double value) && value >= low && value <= high
            ? value
            : throw Error(name, $"is {Shown(name)}, expected a number of {low}..{high}");

    internal double Seconds(string name) => Number(name, 0, MaxSeconds);

    internal bool Flag(string name) =>
        element.TryGetProperty(name, out JsonElement value) && (value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Error(name, $"is {Shown(name)}, expected true or false"));

    internal string Text(string name)
    {
        string text = Find(name, JsonValueKind.String).GetString()!;
        return text.Length <= MaxTextLength ? text : throw Error(name, $"has {text.Length} characters, expected at most {MaxTextLength}");
    }

    internal string OneOf(string name, IReadOnlyList<string> names)
    {
        string text = Text(name);
        return names.Contains(text) ? text : throw Error(name, $"is \"{text}\", expected one of {string.Join(", ", names)}");
    }

    /// <summary>A number that stands for a name; null = there is none.</summary>
    internal string? Name(string name) => Has(name) ? FormattableString.Invariant($"{Long(name, 0, 1L << 53)}") : null;

    internal byte[] Bytes(string name) =>
        Find(name, JsonValueKind.String).TryGetBytesFromBase64(out byte[]? bytes) ? bytes : throw Error(name, $"is not base64");

    internal TraceFields Object(string name) => new(file, line, Find(name, JsonValueKind.Object));

    /// <summary>All fields, which are numbers.</summary>
    internal IEnumerable<(string Name, double Value)> Numbers(double low, double high)
    {
        foreach (JsonProperty property in element.EnumerateObject())
        {
            yield return property.Value.ValueKind == JsonValueKind.Number && property.Value.TryGetDouble(out double value) && value >= low && value <= high
                ? (property.Name, value)
                : throw Error(property.Name, $"is not a number of {low}..{high}");
        }
    }

    // Numbers read the same in every locale.
    internal VllmException Error(string name, FormattableString problem) => Error(file, line, $"{name} {FormattableString.Invariant(problem)}");

    internal static VllmException Error(string file, long line, string problem) => new(FormattableString.Invariant($"{file}: line {line}: {problem}"));

    private JsonElement Find(string name, JsonValueKind kind)
    {
        if (!element.TryGetProperty(name, out JsonElement value))
        {
            throw Error(name, $"is missing");
        }

        return value.ValueKind == kind ? value : throw Error(name, $"is {Shown(name)}, expected a {kind.ToString().ToLowerInvariant()}");
    }

    private string Shown(string name)
    {
        const int most = 40;
        string text = element.GetProperty(name).GetRawText().ReplaceLineEndings(" ");
        return text.Length <= most ? text : text[..most] + "...";
    }
}
