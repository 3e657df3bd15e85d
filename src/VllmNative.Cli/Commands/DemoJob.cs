using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Cli.Commands;

/// <summary>One prompt of the demo and what has come back for it; written by its reader, read by the view.</summary>
internal sealed class DemoJob(int number, IReadOnlyList<ChatMessage> messages)
{
    private volatile RequestOutput? _latest;

    /// <summary>1, 2, 3 ...</summary>
    internal int Number => number;

    internal string Question => messages[^1].Content ?? "";

    /// <summary>The latest output; null before the first token.</summary>
    internal RequestOutput? Latest => _latest;

    internal string Answer => _latest?.Text ?? "";

    internal int Tokens => _latest?.Outputs[0].TokenIds.Count ?? 0;

    /// <summary>Reads the answer to its end.</summary>
    /// <exception cref="VllmException">The request failed.</exception>
    internal async Task RunAsync(AsyncLlmEngine engine, SamplingParams parameters, CancellationToken cancellationToken)
    {
        await foreach (RequestOutput output in engine.ChatAsync(messages, parameters, cancellationToken: cancellationToken).ConfigureAwait(false))
        {
            _latest = output;
        }

        if (_latest is not { Finished: true, Outputs: [{ FinishReason: FinishReason.Stop or FinishReason.Length }] })
        {
            throw new VllmException($"prompt {number} failed: {_latest?.Error ?? "the engine ended the request"}");
        }
    }
}
