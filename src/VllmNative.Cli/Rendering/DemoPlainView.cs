using VllmNative.Cli.Commands;
using VllmNative.Requests;

namespace VllmNative.Cli.Rendering;

/// <summary>The demo where nothing can be redrawn: each answer whole, as soon as it is finished.</summary>
internal static class DemoPlainView
{
    internal static Task ShowAsync(IReadOnlyList<DemoJob> jobs, Func<DemoJob, Task> run)
    {
        var writing = new Lock();
        return Task.WhenAll(jobs.Select(async job =>
        {
            await run(job).ConfigureAwait(false);
            lock (writing)
            {
                CompletionOutput completion = job.Latest!.Outputs[0];
                Console.Out.WriteLine($"[{job.Number}/{jobs.Count}] {job.Question}");
                Console.Out.WriteLine(job.Answer.TrimEnd());
                Console.Out.WriteLine($"({job.Tokens} tokens, {completion.FinishReason.ToString().ToLowerInvariant()})");
                Console.Out.WriteLine();
            }
        }));
    }
}
