using System.CommandLine;
using VllmNative.Bench.Serving;
using VllmNative.Diagnostics;

namespace VllmNative.Cli.Options;

/// <summary>Which requests a benchmark runs.</summary>
internal sealed class WorkloadOptionSet
{
    private readonly Option<string> _file = new("--workload") { Description = "JSON file: {\"requests\": [[prompt tokens, output tokens], ...]}.", HelpName = "FILE", Required = true };
    private readonly Option<int?> _prompts = NumberOption.Integer("--num-prompts", "Only so many requests, the workload's first. Default: all.");

    internal IEnumerable<Option> Options => [_file, _prompts];

    internal Workload Load(ParseResult parsed)
    {
        Workload all = Workload.Load(parsed.GetRequiredValue(_file));
        return parsed.GetValue(_prompts) switch
        {
            null => all,
            >= 1 and var count => all.Take(count),
            var count => throw new VllmException($"{_prompts.Name} is {count}, expected 1 or more"),
        };
    }
}
