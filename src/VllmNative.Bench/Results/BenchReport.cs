using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Results;

/// <summary>
/// What a run measured, where and by which command: the one format of `vllm-native bench` and of tests/gpu/peers.py.
/// </summary>
internal sealed record BenchReport
{
    internal const string CurrentSchema = "vllm-native-bench/1";

    // Names as they are: the file is not put into a web page.
    private static readonly BenchJson Json = new(new JsonSerializerOptions(BenchJson.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    public required string Schema { get; init; }

    /// <summary>The name of the bench command, or peers.</summary>
    public required string Kind { get; init; }

    /// <summary>The maker's name of the device.</summary>
    public required string Device { get; init; }

    /// <summary>Version of the GPU's driver; null on a CPU.</summary>
    public string? Driver { get; init; }

    /// <summary>The commit that was built, or what version of the peers was measured.</summary>
    public required string Commit { get; init; }

    /// <summary>Year-month-day, UTC.</summary>
    public required string Date { get; init; }

    public required string Command { get; init; }

    public required IReadOnlyList<BenchEntry> Entries { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, Json.BenchReport) + "\n";

    /// <summary>Reads a report.</summary>
    /// <exception cref="VllmException">It is none; the message names file and cause.</exception>
    internal static BenchReport Parse(string json, string file)
    {
        try
        {
            BenchReport? report = JsonSerializer.Deserialize(json, Json.BenchReport);
            return report?.Schema == CurrentSchema
                ? report
                : throw new VllmException($"{file}: schema is \"{report?.Schema}\", expected \"{CurrentSchema}\"");
        }
        catch (JsonException error)
        {
            throw new VllmException($"{file}: {error.Message}", error);
        }
    }

    /// <summary>Whether a JSON text says of itself that it is a report of this format.</summary>
    internal static bool IsReport(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.ValueKind == JsonValueKind.Object
            && document.RootElement.TryGetProperty("schema", out JsonElement schema)
            && schema.ValueKind == JsonValueKind.String
            && schema.GetString()!.StartsWith("vllm-native-bench/", StringComparison.Ordinal);
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    WriteIndented = true)]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchJson : JsonSerializerContext;
