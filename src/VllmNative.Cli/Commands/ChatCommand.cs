using System.CommandLine;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Cli.Commands;

/// <summary>A conversation on the terminal, or with a file of one message per line.</summary>
internal static class ChatCommand
{
    internal static Command Create()
    {
        var command = new Command("chat", "Talks with a chat model. With stdin redirected, answers each of its lines in turn.");
        var system = new Option<string?>("--system") { Description = "The system message.", HelpName = "TEXT" };
        Option<long?> seed = SharedOptions.Seed();
        var engineOptions = new EngineOptionSet(SharedOptions.RequiredModel(), seed);
        var sampling = new SamplingOptionSet(seed, "the model's generation_config.json, else to the end of the context");
        command.Options.Add(system);
        engineOptions.AddTo(command);
        sampling.AddTo(command);
        command.SetAction(parsed => RunAsync(engineOptions.Build(parsed), parsed.GetValue(system), defaults => sampling.Apply(parsed, defaults)));
        return command;
    }

    private static async Task<int> RunAsync(EngineOptions options, string? system, Func<SamplingParams, SamplingParams> parametersOf)
    {
        using AsyncLlmEngine engine = Load(options);
        SamplingParams parameters = parametersOf(engine.ChatDefaults);
        parameters.Validate(); // Now, not at the first message.
        var loop = new ChatLoop(new ChatSession(engine, parameters, system), interactive: !Console.IsInputRedirected);
        return await loop.RunAsync().ConfigureAwait(false);
    }

    private static AsyncLlmEngine Load(EngineOptions options)
    {
        using var interrupt = new Interrupt();
        return LoadingView.Load(options, interrupt.Token);
    }
}
