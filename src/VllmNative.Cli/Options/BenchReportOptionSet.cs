using System.CommandLine;
using VllmNative.Bench.Results;
using VllmNative.Cli.Rendering;
using VllmNative.Diagnostics;

namespace VllmNative.Cli.Options;

/// <summary>Where a benchmark's figures go, and what they are held against.</summary>
internal sealed class BenchReportOptionSet
{
    private readonly Option<string?> _json = new("--json") { Description = "Writes the figures into this file too.", HelpName = "FILE" };
    private readonly Option<string?> _targets = new("--targets") { Description = "JSON file of what is aimed at: {\"name\": {\"value\": V} or {\"share\": S}, ...}.", HelpName = "FILE" };

    internal void AddTo(Command command)
    {
        command.Options.Add(_json);
        command.Options.Add(_targets);
    }

    /// <summary>Checked before anything is measured, so that no run is lost to a wrong path.</summary>
    internal BenchOutput Open(ParseResult parsed)
    {
        string? json = parsed.GetValue(_json);
        if (json is not null && Path.GetDirectoryName(Path.GetFullPath(json)) is { } folder && !Directory.Exists(folder))
        {
            throw new VllmException($"--json is \"{json}\": no such folder");
        }

        return new BenchOutput(json, parsed.GetValue(_targets) is { } file ? Load(file) : Targets.None);
    }

    private static Targets Load(string file) =>
        File.Exists(file) ? Targets.Parse(File.ReadAllText(file), file) : throw new VllmException($"--targets is \"{file}\": no such file");
}
