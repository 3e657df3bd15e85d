using VllmNative.Bench.Results;

namespace VllmNative.Cli.Rendering;

/// <summary>A benchmark's figures: a line each on stdout as they come, and all of them in a file at the end.</summary>
internal sealed class BenchOutput(string? jsonFile, Targets targets)
{
    /// <summary>The command line as it was given.</summary>
    internal string Command { get; } = string.Join(' ', ["vllm-native", .. Environment.GetCommandLineArgs().Skip(1)]);

    /// <summary>A line that is no figure.</summary>
    internal static void Say(string line) => Console.Out.WriteLine(line);

    internal void Show(BenchEntry entry) => Console.Out.WriteLine(Line(targets.Apply(entry)));

    internal void Write(BenchReport report)
    {
        if (jsonFile is not null)
        {
            File.WriteAllText(jsonFile, (report with { Entries = [.. report.Entries.Select(targets.Apply)] }).ToJson());
        }
    }

    internal static string Line(BenchEntry entry)
    {
        string limit = entry.Better == Better.Higher ? "at most" : "at least";
        string[] facts =
        [
            .. entry.TimeUs is { } time ? [$"{time} us"] : (string[])[],
            .. entry.Samples > 1 ? [$"{entry.Low}..{entry.High}"] : (string[])[],
            .. entry.Ceiling is { } ceiling ? [$"{limit} {ceiling}: {entry.Share:P0}"] : (string[])[],
            .. entry.Target is { } target ? [$"target {target}"] : (string[])[],
        ];
        return $"{entry.Name}: {entry.Value} {entry.Unit}" + (facts.Length > 0 ? $" ({string.Join(", ", facts)})" : "");
    }
}
