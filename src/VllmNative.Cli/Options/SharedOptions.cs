using System.CommandLine;

namespace VllmNative.Cli.Options;

/// <summary>Options of more than one set.</summary>
internal static class SharedOptions
{
    /// <summary>A model directory that must be given.</summary>
    internal static Option<string> RequiredModel() => new("--model")
    {
        Description = "Directory of a Hugging Face checkpoint.",
        HelpName = "DIR",
        Required = true,
    };

    /// <summary>One seed for engine and requests: the same command gives the same text.</summary>
    internal static Option<long?> Seed() => NumberOption.Long("--seed", "Seed of the random draws. Default: 0 for the run, and each request its own.");
}
