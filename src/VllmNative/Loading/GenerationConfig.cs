using System.Collections.Immutable;
using System.Text;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// A model's <c>generation_config.json</c>: what its makers recommend for sampling. A null says that they state nothing.
/// </summary>
public sealed record GenerationConfig
{
    private const string FileName = "generation_config.json";

    /// <summary>Whether to sample at all.</summary>
    public bool? DoSample { get; init; }

    /// <summary>Sampling temperature, 0 or more.</summary>
    public double? Temperature { get; init; }

    /// <summary>Nucleus size, above 0 and up to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Number of candidates; 0 or -1 for all.</summary>
    public int? TopK { get; init; }

    /// <summary>Smallest probability relative to the best candidate, 0 to 1.</summary>
    public double? MinP { get; init; }

    /// <summary>Penalty on tokens seen before, above 0; 1 for none.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Most tokens to generate, 1 or more.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Tokens that end a text; may be empty.</summary>
    public ImmutableArray<int> EosTokenIds { get; init; } = [];

    /// <summary>First token of a text.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Padding token.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Reads the file of a model directory; nothing is stated if it has none.</summary>
    /// <param name="modelDir">The directory.</param>
    /// <exception cref="ModelFormatException">The file is malformed or holds a value that is out of range.</exception>
    public static GenerationConfig Load(string modelDir)
    {
        ArgumentNullException.ThrowIfNull(modelDir);
        string path = Path.Combine(modelDir, FileName);
        return Path.Exists(path) ? Parse(JsonFile.ReadBytes(path, JsonFile.MaxConfigLength), path) : new GenerationConfig();
    }

    /// <summary>Reads the text of a <c>generation_config.json</c>.</summary>
    /// <param name="json">The text.</param>
    /// <param name="file">The name to use in errors.</param>
    /// <exception cref="ModelFormatException">The text is malformed or holds a value that is out of range.</exception>
    public static GenerationConfig Parse(string json, string file)
    {
        ArgumentNullException.ThrowIfNull(json);
        return Parse(Encoding.UTF8.GetBytes(json), file);
    }

    internal static GenerationConfig Parse(ReadOnlyMemory<byte> utf8, string file) =>
        JsonFile.ParseObject(utf8, JsonFile.MaxConfigLength, file, Read);

    private static GenerationConfig Read(ConfigObject json)
    {
        const double Large = 1e6;
        ImmutableArray<int> bos = json.IntOrList(0, int.MaxValue, "bos_token_id");
        return new GenerationConfig
        {
            DoSample = json.Bool("do_sample"),
            Temperature = json.Number(0, Large, "temperature"),
            TopP = json.Number(double.Epsilon, 1, "top_p"),
            TopK = json.Int(-1, int.MaxValue, "top_k"),
            MinP = json.Number(0, 1, "min_p"),
            RepetitionPenalty = json.Number(double.Epsilon, Large, "repetition_penalty"),
            MaxNewTokens = json.Int(1, int.MaxValue, "max_new_tokens"),
            EosTokenIds = json.IntOrList(0, int.MaxValue, "eos_token_id"),
            BosTokenId = bos.IsEmpty ? null : bos[0],

            // Old Llama exports write -1 for "none".
            PadTokenId = json.Int(-1, int.MaxValue, "pad_token_id") is { } pad and >= 0 ? pad : null,
        };
    }
}
