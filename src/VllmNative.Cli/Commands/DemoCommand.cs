using System.CommandLine;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Cli.Commands;

/// <summary>Answers eight prompts at once, live, and says how fast that was.</summary>
internal static class DemoCommand
{
    /// <summary>Where the shipped model is.</summary>
    internal static string DefaultModel => Path.Combine(AppContext.BaseDirectory, "models", "demo");

    internal static Command Create()
    {
        var command = new Command("demo", "Streams the answers to eight prompts, batched together, then prints the figures.");
        var greedy = new Option<bool>("--greedy") { Description = "Always the most likely token; overrides --temperature." };
        var model = new Option<string>("--model")
        {
            Description = "Directory of a chat model. Default: the small demo model that is part of this program.",
            HelpName = "DIR",
            DefaultValueFactory = _ => DefaultModel,
        };
        Option<long?> seed = SharedOptions.Seed();
        var engineOptions = new EngineOptionSet(model, seed);
        var sampling = new SamplingOptionSet(seed, "128");
        engineOptions.AddTo(command);
        sampling.AddTo(command);
        command.Options.Add(greedy);
        command.SetAction(parsed => RunAsync(
            engineOptions.Build(parsed),
            defaults =>
            {
                SamplingParams parameters = sampling.Apply(parsed, defaults with { MaxTokens = 128 });
                // The engine's seed is enough to repeat a run; a seed of the requests would make all eight draw alike.
                return parameters with { Seed = null, Temperature = parsed.GetValue(greedy) ? 0 : parameters.Temperature };
            }));
        return command;
    }

    private static async Task<int> RunAsync(EngineOptions options, Func<SamplingParams, SamplingParams> parametersOf)
    {
        using var interrupt = new Interrupt();
        using AsyncLlmEngine engine = LoadingView.Load(options, interrupt.Token);
        SamplingParams parameters = parametersOf(engine.ChatDefaults);
        DemoJob[] jobs = [.. DemoPrompts.All.Select((messages, index) => new DemoJob(index + 1, messages))];
        Func<DemoJob, Task> run = job => job.RunAsync(engine, parameters, interrupt.Token);
        await (Terminals.IsOutputInteractive ? DemoLiveView.ShowAsync(jobs, run) : DemoPlainView.ShowAsync(jobs, run)).ConfigureAwait(false);
        DemoTable.Write(DemoFigures.Of(jobs, engine.Memory), Terminals.IsOutputInteractive);
        return ExitCode.Ok;
    }
}
