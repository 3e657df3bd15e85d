using VllmNative.Diagnostics;
using VllmNative.Requests;

namespace VllmNative.Cli.Rendering;

/// <summary>Text on stdout as it is generated.</summary>
internal static class TextStream
{
    /// <summary>Writes every piece and a line break, and returns the last output.</summary>
    /// <param name="outputs">The request's outputs.</param>
    /// <param name="observe">Told of each, for what must be known when it fails.</param>
    /// <exception cref="VllmException">The request failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; what came before is written.</exception>
    internal static async Task<RequestOutput> WriteAsync(IAsyncEnumerable<RequestOutput> outputs, Action<RequestOutput>? observe = null)
    {
        RequestOutput? last = null;
        try
        {
            await foreach (RequestOutput output in outputs.ConfigureAwait(false))
            {
                last = output;
                observe?.Invoke(output);
                Console.Out.Write(Console.IsOutputRedirected ? output.Delta : TextFit.Printable(output.Delta));
            }
        }
        finally
        {
            // After an error too, so that its message starts a line; not when nothing was written at all.
            if (last is not null)
            {
                Console.Out.WriteLine();
            }
        }

        return last switch
        {
            null or { Outputs: [{ FinishReason: FinishReason.Abort }] } => throw new VllmException("the engine ended the request"),
            { Outputs: [{ FinishReason: FinishReason.Error }] } => throw new VllmException(last.Error ?? "the request failed"),
            _ => last,
        };
    }
}
