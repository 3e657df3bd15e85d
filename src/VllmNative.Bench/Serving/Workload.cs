using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Serving;

/// <summary>Requests by their lengths: a JSON object { "description": text, "requests": [[prompt tokens, output tokens], ...] }.</summary>
/// <param name="Name">The file's name.</param>
/// <param name="Requests">In the order in which they come.</param>
internal sealed record Workload(string Name, IReadOnlyList<(int Prompt, int Output)> Requests)
{
    internal int PromptTokens => Requests.Sum(request => request.Prompt);

    internal int OutputTokens => Requests.Sum(request => request.Output);

    internal int LongestRequest => Requests.Max(request => request.Prompt + request.Output);

    /// <summary>Its sizes, for people.</summary>
    internal string Describe() => $"{Requests.Count} requests of {Name} with {PromptTokens} prompt and {OutputTokens} output tokens";

    /// <exception cref="VllmException">The file is not such an object; the message names file and entry.</exception>
    internal static Workload Load(string file)
    {
        if (!File.Exists(file))
        {
            throw new VllmException($"--workload is \"{file}\": no such file");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            (int, int)[] requests = [.. document.RootElement.GetProperty("requests").EnumerateArray().Select((request, i) => Read(request, i, file))];
            return requests.Length > 0
                ? new Workload(Path.GetFileNameWithoutExtension(file), requests)
                : throw new VllmException($"{file}: requests is empty, expected at least one");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new VllmException($"{file}: not a workload, expected {{\"requests\": [[prompt tokens, output tokens], ...]}}: {error.Message}", error);
        }
    }

    /// <summary>The first requests only.</summary>
    internal Workload Take(int count) => this with { Requests = [.. Requests.Take(count)] };

    /// <summary>The same prompts with outputs of no more than so many tokens.</summary>
    internal Workload Shorten(int output) => this with { Requests = [.. Requests.Select(request => (request.Prompt, Math.Min(request.Output, output)))] };

    private static (int Prompt, int Output) Read(JsonElement request, int index, string file)
    {
        return request.GetArrayLength() == 2 && request[0].GetInt32() is >= 1 and var prompt && request[1].GetInt32() is >= 1 and var output
            ? (prompt, output)
            : throw new VllmException($"{file}: request {index} is {request.GetRawText()}, expected [prompt tokens, output tokens], both 1 or more");
    }
}
