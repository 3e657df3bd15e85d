using System.CommandLine;
using VllmNative.Engine;

namespace VllmNative.Cli.Options;

/// <summary>The engine's options as benchmarks take them: a config.json is enough, since weights are random unless asked for.</summary>
internal sealed class BenchEngineOptionSet
{
    private static readonly Dictionary<string, LoadFormat> LoadFormats = new()
    {
        ["dummy"] = LoadFormat.Dummy,
        ["safetensors"] = LoadFormat.Safetensors,
    };

    private readonly Option<string> _loadFormat = new("--load-format")
    {
        Description = "Where weights come from: random values, or the model directory's files.",
        DefaultValueFactory = _ => "dummy",
    };

    private readonly EngineOptionSet _engine;

    internal BenchEngineOptionSet()
    {
        var model = new Option<string>("--model-config") { Description = "A config.json, or a model directory.", HelpName = "PATH", Required = true };
        _engine = new EngineOptionSet(model, SharedOptions.Seed());
        _loadFormat.AcceptOnlyFromAmong([.. LoadFormats.Keys]);
    }

    internal void AddTo(Command command)
    {
        _engine.AddTo(command);
        command.Options.Add(_loadFormat);
    }

    internal EngineOptions Build(ParseResult parsed) => _engine.Build(parsed) with { LoadFormat = LoadFormats[parsed.GetRequiredValue(_loadFormat)] };
}
