using System.Globalization;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>The <c>model.safetensors.index.json</c> of a sharded model: which file holds which tensor.</summary>
internal sealed class WeightIndex
{
    /// <summary>Largest index file; a model of 100,000 tensors needs about 10 MB.</summary>
    public const long MaxLength = 64L << 20;

    /// <summary>Most shards; real models have fewer than 300.</summary>
    public const int MaxShards = 10_000;

    private const string Extension = ".safetensors";

    private WeightIndex(Dictionary<string, string> shardOf, IReadOnlyList<string> shards, long? totalSize)
    {
        ShardOf = shardOf;
        Shards = shards;
        TotalSize = totalSize;
    }

    /// <summary>File name by tensor.</summary>
    public Dictionary<string, string> ShardOf { get; }

    /// <summary>The file names, each once, in order of first mention.</summary>
    public IReadOnlyList<string> Shards { get; }

    /// <summary>Bytes of all tensors as stated; null if not.</summary>
    public long? TotalSize { get; }

    /// <summary>Reads and validates an index; names are plain file names in the same directory.</summary>
    public static WeightIndex Parse(ReadOnlyMemory<byte> utf8, string file) => JsonFile.ParseObject(utf8, MaxLength, file, Read);

    private static WeightIndex Read(ConfigObject json)
    {
        ConfigObject map = json.Object("weight_map") ?? throw json.Missing("weight_map");
        Dictionary<string, string> shardOf = new(StringComparer.Ordinal);
        HashSet<string> seen = new(StringComparer.Ordinal);
        List<string> shards = [];
        foreach (JsonProperty entry in map.Element.EnumerateObject())
        {
            string? shard = entry.Value.ValueKind == JsonValueKind.String ? entry.Value.GetString() : null;
            if (shard is null || !IsPlainName(shard))
            {
                throw map.Error(entry.Name, $"{JsonText.Of(entry.Value)} is not the plain name of a {Extension} file in this directory");
            }

            shardOf.Add(entry.Name, shard);
            if (seen.Add(shard))
            {
                shards.Add(shard);
            }

            if (shards.Count > MaxShards)
            {
                throw new ModelFormatException(json.File, "weight_map", $"names more than {MaxShards} files");
            }
        }

        return shards.Count > 0
            ? new WeightIndex(shardOf, shards, ReadTotalSize(json))
            : throw json.Error("weight_map", "lists no tensor");
    }

    private static long? ReadTotalSize(ConfigObject json)
    {
        // Some exporters write 123.0 or metadata of their own kind.
        const string Key = "total_size";
        double? size = json.Object("metadata")?.Number(0, 1L << 53, Key);
        return size is { } bytes && bytes != Math.Floor(bytes)
            ? throw json.Error("metadata." + Key, string.Create(CultureInfo.InvariantCulture, $"{bytes} is not a whole number of bytes"))
            : (long?)size;
    }

    /// <summary>No separators of any system, no drive, no dots-only name: the file cannot lie elsewhere.</summary>
    private static bool IsPlainName(string name) =>
        name.Length is > 0 and <= 255
        && name.EndsWith(Extension, StringComparison.Ordinal)
        && name.AsSpan().IndexOfAny("/\\:") < 0
        && !name.AsSpan().ContainsAnyInRange('\0', '\x1f')
        && name != Extension
        && !name.StartsWith("..", StringComparison.Ordinal);
}
