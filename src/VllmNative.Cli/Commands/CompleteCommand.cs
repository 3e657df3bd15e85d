using System.CommandLine;
using VllmNative.Cli.Options;
using VllmNative.Cli.Rendering;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;

namespace VllmNative.Cli.Commands;

/// <summary>Continues one text; stdout gets the continuation and nothing else.</summary>
internal static class CompleteCommand
{
    internal static Command Create()
    {
        var command = new Command("complete", "Continues a text. The continuation goes to stdout, all else to stderr.");
        var prompt = new Option<string?>("--prompt") { Description = "The text. Default: stdin, less one line break at its end.", HelpName = "TEXT" };
        Option<long?> seed = SharedOptions.Seed();
        var engineOptions = new EngineOptionSet(SharedOptions.RequiredModel(), seed);
        var sampling = new SamplingOptionSet(seed, "the model's generation_config.json, else 16");
        command.Options.Add(prompt);
        engineOptions.AddTo(command);
        sampling.AddTo(command);
        command.SetAction(parsed => RunAsync(engineOptions.Build(parsed), PromptOf(parsed.GetValue(prompt)), defaults => sampling.Apply(parsed, defaults)));
        return command;
    }

    private static string PromptOf(string? given)
    {
        if (given is not null)
        {
            return given;
        }

        if (!Console.IsInputRedirected)
        {
            throw new VllmException("there is no prompt: give --prompt TEXT, or the text on stdin");
        }

        string text = Console.In.ReadToEnd();
        return text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;
    }

    private static async Task<int> RunAsync(EngineOptions options, string prompt, Func<SamplingParams, SamplingParams> parametersOf)
    {
        using var interrupt = new Interrupt();
        using AsyncLlmEngine engine = LoadingView.Load(options, interrupt.Token);
        RequestOutput output = await TextStream.WriteAsync(
            engine.GenerateAsync(prompt, parametersOf(engine.DefaultSamplingParams), cancellationToken: interrupt.Token)).ConfigureAwait(false);
        LogprobLines.Write(output.Outputs[0].Logprobs, engine.Tokenizer);
        StatsLine.Write(output);
        return ExitCode.Ok;
    }
}
