using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Results;

/// <summary>
/// What is aimed at, by the names of entries: a JSON object whose values are { "value": V } in the entry's unit, or
/// { "share": S } of the entry's ceiling. A target is a decision, so that it stands in a file and not in the code that measures.
/// </summary>
internal sealed class Targets
{
    private readonly Dictionary<string, (double? Value, double? Share)> _byName;

    private Targets(Dictionary<string, (double? Value, double? Share)> byName) => _byName = byName;

    internal static Targets None { get; } = new([]);

    internal IReadOnlyCollection<string> Names => _byName.Keys;

    /// <exception cref="VllmException">The file is not such an object; the message names file and entry.</exception>
    internal static Targets Parse(string json, string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return new Targets(document.RootElement.EnumerateObject().ToDictionary(entry => entry.Name, entry => Read(entry, file)));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new VllmException($"{file}: not an object of targets: {error.Message}", error);
        }
    }

    internal BenchEntry Apply(BenchEntry entry)
    {
        if (!_byName.TryGetValue(entry.Name, out (double? Value, double? Share) target))
        {
            return entry;
        }

        // A share of a rate's ceiling is less than it, of a time's floor more.
        double? fromShare = entry.Better == Better.Higher ? entry.Ceiling * target.Share : entry.Ceiling / target.Share;
        return entry with { Target = (target.Value ?? fromShare) is { } found ? Figures.Round(found) : null };
    }

    private static (double? Value, double? Share) Read(JsonProperty entry, string file)
    {
        JsonProperty[] fields = [.. entry.Value.EnumerateObject()];
        if (fields is not [{ Value.ValueKind: JsonValueKind.Number } field] || field.Name is not ("value" or "share") || field.Value.GetDouble() <= 0)
        {
            throw new VllmException($"{file}: target \"{entry.Name}\" is {entry.Value.GetRawText()}, expected {{\"value\": V}} or {{\"share\": S}}, above 0");
        }

        double number = field.Value.GetDouble();
        return field.Name == "value" ? (number, null) : (null, number);
    }
}
